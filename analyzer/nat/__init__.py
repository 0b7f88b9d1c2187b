"""Flows at neighbouring points to crossings; clocks; fates."""
