"""Two nodes of a fleet: connections from a pod behind node-a to a pod behind node-b, as each node captures them."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from analyzer import __version__
from analyzer.fleet import joining
from analyzer.fleet.bundles import find
from analyzer.fleet.dataset import Result
from analyzer.fleet.places import Place
from analyzer.fleet.work import work
from tests.conversation import Conversation, bystander, record

TRANSIT = 0.0003
"""Seconds from node-a's uplink to node-b's."""
AHEAD = 2.5
"""Seconds that node-b's clock is ahead."""


def leaving(port: int, server: str = "10.0.0.2:30080", **more: Any) -> Conversation:
    """A connection as node-a sees it leave: SNAT gives it the node's address."""
    return Conversation(
        pod=f"10.244.1.5:{port}",
        server=server,
        nat=f"10.0.0.1:{port}",
        isn=port * 1000,
        server_isn=port * 7,
        **more,
    )


def entering(
    port: int, client: str | None = None, server: str = "10.0.0.2:30080", **more: Any
) -> Conversation:
    """The same as node-b sees it enter: DNAT leads it to a pod."""
    told = {"isn": port * 1000, "server_isn": port * 7, **more}
    client = client or f"10.0.0.1:{port}"
    return Conversation(pod=client, server=server, dnat="10.244.2.7:8080", way="eth0 | cni0 veth-b", **told)


def there(at: float) -> float:
    """When node-b sees, by its clock, what node-a's pod sends at that second."""
    return at + TRANSIT + AHEAD


def both(port: int, at: float) -> tuple[Conversation, Conversation]:
    """A whole connection, at both nodes."""
    left, entered = leaving(port), entering(port)
    left.syn(at)
    left.synack(at + 0.001)
    entered.syn(there(at))
    entered.synack(there(at) + 0.0002)
    return left, entered


def fleet(
    root: Path,
    left: list[Conversation],
    entered: list[Conversation],
    *,
    end: float | None = None,
    ordinary: int = 1,
) -> Path:
    """Write both nodes' bundles, with ordinary connections from node-a to node-b around.

    Args:
        root: Where to.
        left: What node-a captures.
        entered: What node-b captures.
        end: The second, by node-a's clock, at which node-b's captures end.
        ordinary: How many connections pass as they should.
    """
    pairs = [both(21000 + number, number) for number in range(ordinary)]
    record(root / "node-a" / "monday", *left, *(a for a, _ in pairs), bystander(-5), bystander(20))
    last = 30.0 if end is None else there(end)
    record(
        root / "node-b" / "monday",
        *entered,
        *(b for _, b in pairs),
        bystander(-5),
        bystander(25),
        end=dict.fromkeys(("eth0", "cni0", "veth-b", "veth-z"), last),
    )
    return root


def analysed(root: Path, target: Path) -> tuple[list[Result], Place]:
    """Analyse every bundle here and now."""
    source, place = Place.at(str(root)), Place.at(str(target))
    return [work(bundle, source, place, __version__) for bundle in find(source)], place


def joined(root: Path, target: Path) -> list[dict[str, Any]]:
    """The rows of the joined table, without those of the ordinary connections."""
    table = joining.join(*analysed(root, target)).astype(object)
    rows = table.where(table.notna(), None).to_dict("records")
    return [row for row in rows if not 21000 <= int(row["left"].split(":")[1].split(" ")[0]) < 21100]


class Inline(Executor):
    """Runs each task while it is submitted."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return a future that is done."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Here:
    """Workers that are this process."""

    fatal: tuple[type[BaseException], ...] = ()

    def width(self) -> int:
        """As if there were two."""
        return 2

    def executor(self, width: int) -> Executor:
        """Return one that asks nobody else."""
        return Inline()

    def mend(self) -> None:
        """Nobody died."""

    def close(self) -> None:
        """Nobody is there."""


def contents(target: Place) -> dict[str, bytes]:
    """Every file of a dataset."""
    return target.read([name for name, _ in target.list()])
