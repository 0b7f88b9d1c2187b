"""Renderers of an analysis."""
