"""Where a training is found again, and where it runs."""
