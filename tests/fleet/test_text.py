"""The fleet report on a terminal."""

from __future__ import annotations

from analyzer import __version__
from analyzer.fleet import text
from tests.fleet import sample


def test_usual() -> None:
    """The verdict first, then who loses most."""
    lines = text.render(sample.usual()).splitlines()

    assert [
        "15 packets lost at 3 of 3 nodes; 3 SYNs lost between nodes",
        "2 bundles analysed now, 7 done before, 3 bad bundles",
        "",
        "Nodes     lost  requests  vanished",
        "  node-a     0     1,300         4",
        "  node-b     6     1,300         4  SNAT port race +1",
    ] == lines[:6]
    assert "  node-a > node-z            9          1      680 µs" in lines
    assert "  node-a: node-a: no capture found" in lines


def test_hostile_and_large() -> None:
    """80 columns, few lines, nothing that acts on a terminal."""
    told = text.render(sample.large())

    assert max(map(len, told.splitlines())) <= text.WIDTH
    assert len(told.splitlines()) < 250
    assert all(letter.isprintable() or letter == "\n" for letter in told)
    assert "  ... and 1,990 more" in told.splitlines()


def test_nothing() -> None:
    """One line, what is bad, and what said so."""
    assert (
        "No bundle could be analysed\n0 bundles analysed now, 0 done before, 1 bad bundle\n\n"
        f"Bad bundles\n  a/x: it is broken\n\nMade by lostsyn {__version__}\n"
    ) == text.render(sample.nothing())
