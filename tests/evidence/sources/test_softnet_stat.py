"""The CPUs' receive queues."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.counting import Counters
from analyzer.evidence.sources import softnet_stat


def test_sums(sample: Callable[[str], str]) -> None:
    """Each column is summed over the CPUs."""
    text = sample("softnet_stat.txt")
    assert softnet_stat.recognises(text)
    (counters,) = softnet_stat.parse(text, "a")
    assert isinstance(counters, Counters)
    assert (0x3603 + 0x55FB, 0, 0) == tuple(
        counters.values[name] for name in ("processed", "dropped", "time_squeeze")
    )


def test_columns() -> None:
    """The second column is what was dropped, the third what was left for later; a command above is no harm."""
    text = "$ cat /proc/net/softnet_stat\n" + "00000010 00000002 00000003" + " 00000000" * 8 + "\n"
    assert softnet_stat.recognises(text)
    (counters,) = softnet_stat.parse(text, "a")
    assert isinstance(counters, Counters)
    assert (16, 2, 3) == tuple(counters.values[name] for name in ("processed", "dropped", "time_squeeze"))


def test_other_text(sample: Callable[[str], str]) -> None:
    """A question around it is no harm; dumps of memory, which have four or eight numbers in a line, are not it."""
    assert softnet_stat.recognises(f"some text\n{sample('softnet_stat.txt')}")
    assert not softnet_stat.recognises("deadbeef cafebabe\n" + "deadbeef " * 7 + "deadbeef\n")
