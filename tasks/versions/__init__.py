"""What a tree of versions is: numbers, names, manifests, and what may be said about a version without loading it.

Knows the standard library alone, so that asking whether a version is there stays cheap.
"""
