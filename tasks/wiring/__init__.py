"""What Luigi lacks: base tasks, parameters, luigi.cfg, defaults of its workers, failures, progress and records.

Knows Luigi; no arithmetic, and nothing that is slow to import.
"""
