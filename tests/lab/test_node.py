"""The node under test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.errors import MissingTool
from analyzer.lab import node

pytestmark = pytest.mark.kernel


def test_the_node_stands_as_drawn(namespaces: Callable[[], list[str]]) -> None:
    """Ports on the bridge, both versions' addresses on both sides, and nothing afterwards."""
    with node.built() as net:
        for point in ("veth-a", "veth-b"):
            assert "master cni0" in net.node.ip("link", "show", point)
        for version in (node.V4, node.V6):
            for where, address in ((net.a, version.a), (net.b, version.b), (net.outside, version.server)):
                assert f" {address}/{version.prefix} " in where.ip("address", "show", "eth0")
        assert len(namespaces()) == 4
    assert namespaces() == []


def test_a_kernel_that_lacks_something_is_told(
    monkeypatch: pytest.MonkeyPatch, namespaces: Callable[[], list[str]]
) -> None:
    """One sentence with the modules and the tool's own words; what was built is removed."""
    monkeypatch.setattr(node, "RULES", "table inet nat { chain x { type nat hook nowhere priority 0; } }")
    with pytest.raises(MissingTool, match=r"nft_masq.* are needed\): 'nft -f -' failed"), node.built():
        pytest.fail("the block must not be entered")
    assert namespaces() == []
