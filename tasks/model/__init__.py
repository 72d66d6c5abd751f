"""From arrays to weights: architectures, training and evaluation.

Pure TensorFlow and NumPy: no Luigi, no network, no version numbers, and no files but those handed in.
"""
