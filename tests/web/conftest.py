"""Servers for the tests of the upload application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import FIXTURES
from tests.web.serving import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return one server for all tests that do not disturb it."""
    made = Server(tmp_path_factory.mktemp("serve"), "--max-size", "0.1")
    yield made
    made.stop()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return a function that starts a server of the test's own; on one folder unless the test says another."""
    made: list[Server] = []

    def start(*options: str, data: Path = tmp_path / "data", files: int | None = None) -> Server:
        made.append(Server(data, *options, log=tmp_path / "serve.log", files=files))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture(scope="session")
def bundle() -> dict[str, bytes]:
    """Return the files of a recorded incident, by name."""
    folder = FIXTURES / "snat-race"
    names = (
        "veth-a.pcap",
        "cni0.pcap",
        "eth0.pcap",
        "conntrack-S-before.txt",
        "conntrack-S-after.txt",
        "uname.txt",
    )
    return {name: (folder / name).read_bytes() for name in names}
