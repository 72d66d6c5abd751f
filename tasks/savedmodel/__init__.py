"""From weights to SavedModels that TensorFlow Serving loads: write, load, ask, and verify them.

Knows TensorFlow and NumPy; neither Luigi, nor the network, nor what is served.
"""
