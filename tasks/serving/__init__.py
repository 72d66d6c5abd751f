"""From weights to versions that TensorFlow Serving loads.

Knows TensorFlow (not in `manifest` and `version_tree`: whether a version is complete must be cheap to ask) and
`tasks.storage`; neither Luigi, nor datasets, nor training.
"""
