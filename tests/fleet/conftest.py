"""A small fleet, made once: reading it harms nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.fleet.dataset import Result
from analyzer.fleet.places import Place
from tests.conversation import Conversation, bystander, record
from tests.fleet.nodes import analysed, fleet


def lossy(port: int) -> Conversation:
    """A connection whose first SYN vanishes within node-a."""
    talk = Conversation(pod=f"10.244.1.5:{port}", server="192.0.2.100:80", nat=f"10.0.0.1:{port}", isn=port)
    talk.syn(3).lost_after("cni0")
    talk.syn(4)
    talk.accept()
    return talk


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles of node-a, the first with a loss, one of node-b, and one that is none."""
    root = fleet(tmp_path_factory.mktemp("fleet"), [lossy(22000)], [])
    record(root / "node-a" / "tuesday", bystander(86400), bystander(86405))
    (root / "node-c" / "broken").mkdir(parents=True)
    (root / "node-c" / "broken" / "eth0.pcap").write_text("this is no capture")
    return root


@pytest.fixture
def source(bundles: Path) -> Place:
    """Where the bundles are."""
    return Place.at(str(bundles))


@pytest.fixture
def target(tmp_path: Path) -> Place:
    """Where a dataset may be made."""
    return Place.at(str(tmp_path / "dataset"))


@pytest.fixture(scope="session")
def kept(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Result], Place]:
    """The results of the bundles that could be analysed, and the dataset."""
    results, place = analysed(bundles, tmp_path_factory.mktemp("kept"))
    return [result for result in results if result.problem is None], place
