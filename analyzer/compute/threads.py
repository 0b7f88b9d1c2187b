"""Doing several things at once; the hot loops, and numpy's, release the GIL."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MOST = min(16, 2 * (os.cpu_count() or 1))
"""Threads. More than there are processors, so that three files of one size keep two of these busy to the end; but few, since
small pieces of work (a veth each) wait for each other in Python: 200 of them took half as long again in 16."""
T = TypeVar("T")
R = TypeVar("R")


def side_by_side(work: Callable[[T], R], each: Sequence[T]) -> list[R]:
    """Apply *work* to each, in threads; results in the order of *each*, the first error is raised."""
    if len(each) < 2:
        return [work(one) for one in each]
    with ThreadPoolExecutor(min(len(each), MOST)) as pool:
        return list(pool.map(work, each))


@contextmanager
def beside(work: Callable[[], R]) -> Iterator[Callable[[], R]]:
    """Do *work* in a thread beside the body; both have ended behind it.

    Yields: What waits for the result, or raises the error. Who does not ask is not told: of what is remembered and will be
        asked for, it is raised there, where it is tried again.
    """
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work).result
