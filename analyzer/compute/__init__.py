"""Several things at once, and what stands in for Cython where it is not installed."""
