"""Plots of an analysis, on matplotlib: each function draws onto the axes given, or onto new ones, and returns them.

from analyzer import analyze, plot

analysis = analyze("fixtures/snat-race")
plot.attempts(analysis)
"""

from __future__ import annotations

from analyzer.plot.bounds import window as window
from analyzer.plot.handshakes import latency as latency
from analyzer.plot.losses import attempts as attempts
from analyzer.plot.segments import sequence as sequence
from analyzer.plot.table import occupancy as occupancy

__all__ = ["attempts", "latency", "occupancy", "sequence", "window"]
