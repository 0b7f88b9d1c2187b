"""The echo with which every capture begins and ends."""

from __future__ import annotations

import pytest

from analyzer.lab.node import V4, V6, built
from analyzer.lab.ping import ping


@pytest.mark.kernel
def test_the_server_answers_both_versions() -> None:
    """From either pod; without the server there is no answer, and that is said."""
    with built() as net:
        for pod in (net.a, net.b):
            with pod.entered():
                for version in (V4, V6):
                    ping(version, 1)
        net.outside.ip("link", "set", "eth0", "down")
        with net.a.entered(), pytest.raises(TimeoutError):
            ping(V4, 2)
