"""The kernel's own judgement, replayed."""

from analyzer.conntrack.generation import CLASSIC, MODERN, Generation, generation_of
from analyzer.conntrack.model import Judgement, Segment, Settings
from analyzer.conntrack.pickup import Seen, infer_scales
from analyzer.conntrack.states import State
from analyzer.conntrack.tcp import Connection

__all__ = [
    "CLASSIC",
    "MODERN",
    "Connection",
    "Generation",
    "Judgement",
    "Seen",
    "Segment",
    "Settings",
    "State",
    "generation_of",
    "infer_scales",
]
