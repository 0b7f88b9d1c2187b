"""Bytes to columns: containers, links, points, bundles."""
