"""Files that appear whole or not at all, locks that die with their process, and checksums.

Knows the standard library alone; nothing here knows what a version or a dataset is.
"""
