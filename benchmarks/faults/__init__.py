"""Faults that are tried on purpose: `python -m benchmarks.faults`."""
