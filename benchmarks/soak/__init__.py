"""An hour of everything at once, bounded: `python -m benchmarks.soak`."""
