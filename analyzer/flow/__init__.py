"""Packets to flows at one point."""
