"""Plots of an analysis, on matplotlib: each function draws onto the axes given, or onto new ones, and returns them.

from analyzer import analyze, plot

analysis = analyze("fixtures/snat-race")
plot.attempts(analysis)
"""

from __future__ import annotations

from analyzer.plot.attempts import attempts as attempts
from analyzer.plot.latency import latency as latency
from analyzer.plot.occupancy import occupancy as occupancy
from analyzer.plot.sequence import sequence as sequence
from analyzer.plot.window import window as window

__all__ = ["attempts", "latency", "occupancy", "sequence", "window"]
