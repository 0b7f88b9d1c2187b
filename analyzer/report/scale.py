"""Round ticks for the drawn axes."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A place on an axis, and what stands there."""

    at: float
    label: str


def ticks(low: float, high: float, about: int = 5) -> tuple[float, ...]:
    """Return about *about* round values, 1, 2 or 5 times a power of ten apart, from *low* to *high*."""
    if not high > low:
        return (low,)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return tuple(index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1))
