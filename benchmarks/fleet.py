"""A fleet on two Dask workers: bundles a second and processor, what the scheduler costs, a dataset of many nodes and its queries.

    python benchmarks/fleet.py [--nodes N] [--packets N] [--large N]

Bundles of a million packets (`--large` of them) and small ones of a thousand nodes, each analysed by two processes without a
scheduler, then by two workers of a Dask scheduler: the difference is the scheduler's. All bundles of one size are copies.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import bundle
import pandas as pd
from distributed import LocalCluster

from analyzer.fleet.pipeline import survey
from analyzer.fleet.places import Place
from analyzer.fleet.workers import Processes, Scheduler, Workers

PROCESSORS = 2


def captures(root: Path, nodes: int, packets: int) -> None:
    """Give each node the same bundle."""
    first = root / "node0" / "bundle"
    bundle.write(first, bundle.USUAL.connections(packets), 5)
    for number in range(1, nodes):
        shutil.copytree(first, root / f"node{number}" / "bundle", copy_function=os.link)


def timed(what: Callable[[], object]) -> float:
    """Seconds that something takes."""
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def analysed(root: Path, target: Path, workers: Workers) -> float:
    """Seconds of a fleet's run, with workers that have analysed something before."""
    for folder, source in (("warm", root / "node0"), ("real", root)):
        run = partial(survey, Place.at(str(source)), Place.at(str(target / folder)), workers)
        seconds = timed(run)
    return seconds


def main(nodes: int, packets: int, large: int) -> None:
    """Measure, and print Markdown."""
    print("| bundles | packets each | by | s | bundles a second and processor |")
    print("|---:|---:|---|---:|---:|")
    with (
        tempfile.TemporaryDirectory() as made,
        LocalCluster(n_workers=PROCESSORS, threads_per_worker=1) as cluster,
    ):
        for count, size in ((large, 1_000_000), (nodes, packets)):
            root = Path(made, str(size))
            captures(root, count, size)
            for name, workers in (
                ("processes", Processes(PROCESSORS)),
                ("Dask", Scheduler(cluster.scheduler_address)),
            ):
                seconds = analysed(root, Path(made, f"{size}-{name}"), workers)
                workers.close()
                print(
                    f"| {count:,} | {size:,} | {name} | {seconds:.1f} | {count / seconds / PROCESSORS:.2f} |",
                    flush=True,
                )
        target = Path(made, f"{packets}-Dask", "real")
        again = partial(survey, Place.at(str(root)), Place.at(str(target)), Processes(PROCESSORS))
        findings, flows = (
            partial(pd.read_parquet, target / "findings"),
            partial(pd.read_parquet, target / "flows"),
        )
        queries = {
            "findings of one node": lambda: findings(filters=[("node", "=", "node7")]),
            "findings by node and destination": lambda: findings(
                columns=["node", "destination"]
            ).value_counts(),
            "flows by node and point": lambda: flows(columns=["node", "point"]).value_counts(),
            "the run again, with nothing new": again,
        }
        files = sum(1 for _ in target.rglob("*.parquet"))
        print(f"\n{nodes:,} nodes, {files:,} files\n\n| query | s |\n|---|---:|")
        for name, query in queries.items():
            print(f"| {name} | {timed(query):.2f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--packets", type=int, default=3000)
    parser.add_argument("--large", type=int, default=8)
    given = parser.parse_args()
    main(given.nodes, given.packets, given.large)
