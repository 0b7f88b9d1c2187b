"""The way of a fleet, from a folder of bundles to one report: `survey` is the method section."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from analyzer.fleet import dataset, joining
from analyzer.fleet.bundles import find
from analyzer.fleet.dataset import Result
from analyzer.fleet.places import Place
from analyzer.fleet.running import run
from analyzer.fleet.summary import FleetReport, summarise
from analyzer.fleet.work import work
from analyzer.fleet.workers import Workers


def survey(
    source: Place,
    target: Place,
    workers: Workers,
    *,
    begin: Callable[[int], None] = lambda _: None,
    advance: Callable[[Result], None] = lambda _: None,
    task: Callable[..., Result] = work,
) -> FleetReport:
    """Analyse the bundles below *source* that *target* has no result of, join, and count.

    Args:
        source: The folder with the bundles of all nodes.
        target: Where the dataset is, or will be.
        workers: Who analyses.
        begin: Called once, with how many bundles there are to analyse.
        advance: Called with the result of each.
        task: What is done with a bundle.

    Raises:
        LostsynError: There is no bundle, the dataset cannot be written, or every worker is gone.
    """
    bundles, kept = find(source), dataset.results(target)
    damaged = dataset.damaged(kept, target)
    gone = [kept.pop(key) for key in damaged if key not in {bundle.key for bundle in bundles}]
    for key in damaged:
        kept.pop(key, None)
    todo = [
        bundle
        for bundle in bundles
        if bundle.key not in kept or kept[bundle.key].fingerprint != bundle.fingerprint
    ]
    begin(len(todo))
    bad = [_lost(result, damaged[result.key]) for result in gone]
    for result in run(todo, source, target, workers, task):
        if result.problem is None:
            kept[result.key] = result
        else:
            kept.pop(result.key, None)  # what was found before it changed is no longer true
            bad.append(result)
        advance(result)
    dataset.sweep(target, kept, [result.key for result in bad])
    results = sorted(kept.values(), key=lambda result: result.path)
    joined = joining.join(results, target)
    dataset.write_table("joined", joined, joining.SCHEMA, target)
    return summarise(
        source.url,
        results,
        joined,
        target,
        bad=sorted(bad, key=lambda result: result.path),
        analysed=len(todo) - len(bad),
        done_before=len(bundles) - len(todo),
    )


def _lost(result: Result, part: str) -> Result:
    """Say that a bundle's result is damaged, and the bundle no longer there to make it anew."""
    return replace(
        result, problem=f"{part} of the dataset is missing or damaged, and the bundle is not there any more"
    )
