"""Connections: flows chained through all points, what became of each, and whose doing that was."""
