"""Many bundles, some workers: every bundle's result once, though workers die.

At most as many bundles are out as workers can take, so when one dies, the bundles that it can have died of are few. They
are analysed again at the end, each alone: what dies then is the bundle's own doing, and said of it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from functools import partial

from analyzer import __version__
from analyzer.errors import LostsynError
from analyzer.fleet.bundles import FleetBundle
from analyzer.fleet.dataset import Result
from analyzer.fleet.places import Place
from analyzer.fleet.work import work
from analyzer.fleet.workers import GONE, Workers

PATIENCE = 60.0
"""Seconds without any worker after which the rest is given up."""
_LOOK = 1.0
"""Seconds between two looks at who is there."""


def run(
    bundles: Sequence[FleetBundle],
    source: Place,
    target: Place,
    workers: Workers,
    task: Callable[..., Result] = work,
) -> Iterator[Result]:
    """Analyse *bundles*, and give each one's result as soon as it is there.

    Raises:
        LostsynError: The scheduler, or every worker, is gone; what was done is kept.
    """
    submitted = partial(task, source=source, target=target, version=__version__)
    suspects: list[FleetBundle] = []
    yield from _round(bundles, submitted, workers, None, suspects)
    for bundle in suspects:
        killers: list[FleetBundle] = []
        yield from _round([bundle], submitted, workers, 1, killers)
        for killer in killers:
            yield Result.of(
                killer,
                problem="the process that analysed it was killed, also when nothing else ran: too little memory, or "
                "files that crash the analysis",
            )


def _round(
    bundles: Sequence[FleetBundle],
    task: Callable[[FleetBundle], Result],
    workers: Workers,
    width: int | None,
    dead: list[FleetBundle],
) -> Iterator[Result]:
    """Analyse bundles, at most *width* at once; those whose worker died end up in *dead*."""
    waiting = deque(bundles)
    out: dict[Future[Result], FleetBundle] = {}
    alone_since = time.monotonic()
    while waiting or out:
        there = workers.width()
        if there:
            alone_since = time.monotonic()
        elif time.monotonic() - alone_since > PATIENCE:
            raise LostsynError(
                "no worker is left; what was done is kept: start workers, and run the same command again"
            )
        most = min(there, width or there)
        while waiting and len(out) < most:
            try:
                future = workers.executor(width or there).submit(task, waiting[0])
            except workers.fatal:  # one died just now
                workers.mend()
                continue
            out[future] = waiting.popleft()
        if not out:
            time.sleep(_LOOK)
        done, _ = wait(out, timeout=_LOOK, return_when=FIRST_COMPLETED)
        for future in done:
            bundle = out.pop(future)
            try:
                yield future.result()
            except workers.fatal:
                dead.append(bundle)
                workers.mend()
            except CancelledError:
                raise LostsynError(GONE) from None
            except Exception as error:  # e.g. a worker without this package
                yield Result.of(bundle, problem=f"the worker failed: {type(error).__name__}: {error}")
