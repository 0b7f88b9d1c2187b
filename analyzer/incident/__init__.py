"""Findings and incidents: one cause per file."""
