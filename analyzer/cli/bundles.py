"""The bundles of one `lostsyn check`: each analysed and judged, several at once if there are many; and their pages."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.cli.common import make_folder, run, write
from analyzer.cli.saying import note
from analyzer.errors import LostsynError
from analyzer.fleet.bundles import key, named_as_capture
from analyzer.report.checked import Checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.cli.sharing import Sharing
    from analyzer.expectations.file import Expectations

WORTH = 4
"""Bundles for which a process more is begun: it takes as long to begin as some shipped fixtures to be analysed."""
DIED = "the process that analysed it, or one beside it, was killed; try --jobs 1, or --memory SIZE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done with each bundle."""

    points: Sequence[str]
    roles: Sequence[str]
    memory: int | None
    slow_logs: Sequence[Path]
    """Logs of slow requests, to be joined."""
    outputs: tuple[Path | None, ...]
    """Files that will be written, and may be none of a bundle's."""
    sharing: Sharing
    known: Expectations | None
    asked: dict[str, Any]
    """`common.COMMAND` and `common.SHA256`: processes of their own have no command."""

    def check(self, paths: tuple[str, ...], *, quiet: bool = False) -> Checked:
        """Analyse one bundle and judge it.

        Args:
            paths: The bundle.
            quiet: Whether others are analysed at the same time, so that no progress can be shown.

        Raises:
            LostsynError: It cannot be analysed.
        """
        analysis = run(
            paths,
            self.points,
            self.roles,
            self.memory,
            self.outputs,
            self.slow_logs,
            quiet=quiet,
            asked=self.asked,
        )
        expected = self.known.of(paths) if self.known else None
        return Checked.of(paths, self.sharing.share(analysis), expected)

    def attempt(self, paths: tuple[str, ...], *, quiet: bool) -> Checked:
        """Do the same; what cannot be analysed is a result, too."""
        try:
            return self.check(paths, quiet=quiet)
        except LostsynError as error:
            return Checked(paths=paths, error=str(error))


def each(bundles: Sequence[tuple[str, ...]], order: Order, jobs: int | None) -> list[Checked]:
    """Check every bundle, in *jobs* processes; in their order."""
    jobs = jobs or min(os.cpu_count() or 1, len(bundles) // WORTH)
    if jobs < 2 or len(bundles) < 2:
        return [order.attempt(paths, quiet=False) for paths in bundles]
    # Imported here, as one bundle needs none of it, and it takes as long as all of click.
    from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
    from multiprocessing import get_context

    # A fork of this process would copy the locks of its threads in whatever state they are.
    context = get_context("forkserver")
    context.set_forkserver_preload(["analyzer.pipeline", "analyzer.cli.bundles"])
    found = []
    with ProcessPoolExecutor(min(jobs, len(bundles)), mp_context=context) as pool:
        futures = [pool.submit(partial(order.attempt, quiet=True), paths) for paths in bundles]
        for paths, future in zip(bundles, futures, strict=True):
            try:
                found.append(future.result())
            except BrokenProcessPool:
                found.append(Checked(paths=paths, error=DIED))
    return found


def write_pages(checked: Sequence[Checked], folder: Path) -> None:
    """Write the report of each bundle that is to be looked at, named after its path."""
    from analyzer.report import html

    wrong = [one for one in checked if one.exit and one.analysis is not None]
    if not wrong:
        return
    make_folder(folder)
    for one in wrong:
        assert one.analysis is not None
        page = folder / f"{key(one.name)}.html"
        write(html.render(one.analysis), page)
        note(f"{one.name}: the report is {page}")


def hint_at_each(paths: Sequence[str]) -> None:
    """Say so where a folder looks like many bundles: folders that hold several captures each, of the same names."""
    if len(paths) != 1 or _captures(Path(paths[0])):
        return
    captures = {name: _captures(Path(paths[0], name)) for name in _inside(Path(paths[0]))}
    bundles = [name for name, files in captures.items() if len(files) > 1]
    names = [file for name in bundles for file in captures[name]]
    if len(names) > len(set(names)):
        some = ", ".join(bundles[:3]) + (", ..." if len(bundles) > 3 else "")
        note(
            f"{paths[0]} has {len(bundles)} folders with captures of the same names ({some}), and is taken for one bundle, "
            f"of several nodes perhaps; if each is a bundle: lostsyn check --each {shlex.quote(paths[0].rstrip('/'))}/*/"
        )


def _captures(folder: Path) -> list[str]:
    return [name for name in _inside(folder) if named_as_capture(name)]


def _inside(folder: Path) -> list[str]:
    """The names in a folder; none where it is no folder, or cannot be read."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []
