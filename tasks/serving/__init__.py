"""What is served: the servers' config file, which versions they load, the history of moves, and the servers themselves.

Knows protobuf, and gRPC and REST where a server is asked; neither Luigi, nor data, nor models. TensorFlow is loaded by
the gRPC stubs alone. Whether a version is fit to be served is a verdict that is handed in.
"""
