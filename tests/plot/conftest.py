"""Plots are drawn without a screen, and closed after each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pytest

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what was drawn; drawing it must give no warning."""
    from matplotlib import pyplot

    yield
    for number in pyplot.get_fignums():
        pyplot.figure(number).canvas.draw()
    pyplot.close("all")


@pytest.fixture
def nothing(tmp_path: Path) -> Analysis:
    """An analysis of captures without a packet."""
    return analyze(record(tmp_path / "nothing", points=("cni0", "eth0")))


@pytest.fixture
def lossy(tmp_path: Path) -> Analysis:
    """One connection whose first two SYNs vanished, and two others."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn(0).lost_after("cni0")
    talk.syn(1).lost_after("cni0")
    talk.syn(3)
    talk.accept()
    talk.data(100)
    talk.reply(1000)
    talk.reply(500)
    return analyze(record(tmp_path / "lossy", talk, bystander(-1), bystander(5)))
