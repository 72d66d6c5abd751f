"""From archives to arrays: which datasets there are, how they are fetched, decoded and mapped into memory.

Knows numpy, pooch and (in `digits`, in the function) scikit-learn; neither Luigi nor TensorFlow.
"""
