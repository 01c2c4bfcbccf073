"""Many trainings seen as one: comparisons and sweeps."""
