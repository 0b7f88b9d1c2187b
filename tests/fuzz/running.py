"""Runs cases of a target, each from its own number: the same number is the same case, on any machine."""

from __future__ import annotations

import hashlib
import random
import resource
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import FrameType

from analyzer.errors import LostsynError
from tests.fuzz.mutate import mutate
from tests.fuzz.targets import TARGETS, Target

SLOW = 20
"""Seconds of processor time after which a case hangs; those of the wall clock depend on who else is busy."""


class Hangs(Exception):  # noqa: N818 - a find, told as such
    """A case took longer than `SLOW`."""


@dataclass(slots=True)
class Found:
    """What came of a target's cases."""

    cases: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    """Milliseconds for a kilobyte, of the slowest case."""
    memory: int = 0
    """MB, at most, of the whole process until then."""
    finds: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Where it failed, to the number and the bytes of the first case that did."""


@cache
def seeds_of(name: str) -> list[bytes]:
    """What a target's cases are made from."""
    return TARGETS[name].seeds()


def case(name: str, number: int) -> bytes:
    """Make the case of that number."""
    seeds = seeds_of(name)
    rng = random.Random(int.from_bytes(hashlib.sha256(f"{name} {number}".encode()).digest()[:8], "big"))
    return mutate(rng.choice(seeds), seeds, rng)


def fails(target: Target, data: bytes) -> str | None:
    """Run one case; say where it failed, None if it did not."""
    try:
        with _limited():
            target.run(data)
    except LostsynError:
        return None
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/analyzer/" in f.filename]
        where = (
            f"{frames[-1].filename.rpartition('/analyzer/')[2]}:{frames[-1].lineno}" if frames else "tests"
        )
        return f"{type(error).__name__} in {where}: {str(error)[:100]!r}"
    return None


def campaign(name: str, cases: int, first: int = 0, seconds: float = float("inf")) -> Found:
    """Run cases of a target until so many are done, or the time is up."""
    found, end = Found(), time.perf_counter() + seconds
    begun = time.perf_counter()
    for number in range(first, first + cases):
        data = case(name, number)
        at = time.perf_counter()
        if at > end:
            break
        where = fails(TARGETS[name], data)
        took = time.perf_counter() - at
        found.cases += 1
        found.slowest = max(found.slowest, took * 1000 / max(len(data) / 1024, 1))
        if where:
            # One find for one place and kind, whatever its text.
            found.finds.setdefault(where.partition(": ")[0], (number, data))
    found.seconds = time.perf_counter() - begun
    found.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return found


@contextmanager
def _limited() -> Iterator[None]:
    def over(_: int, __: FrameType | None) -> None:
        raise Hangs(f"longer than {SLOW} s of processor time")

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, SLOW)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
