"""From weights to SavedModels that TensorFlow Serving loads: written, loaded again, asked, verified and compared.

`export` makes a version and shows the order of it all; `verification` looks at versions that are there.

Knows TensorFlow and NumPy; neither Luigi, nor the network, nor what is served.
"""
