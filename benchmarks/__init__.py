"""How fast, against whom: `python -m benchmarks` prints one table and writes JSON."""
