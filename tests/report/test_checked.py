"""One bundle, judged: exit status, what is left to tell, and where its files are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from analyzer.connection.model import Fate, Passage, Sighting
from analyzer.expectations import Expectation, Rule
from analyzer.incident.model import Attempt
from analyzer.report.checked import Checked, last_seen
from tests.expectations.test_expectations import analysis, finding, incident

LOST = analysis(incident(finding()))
BLIND = analysis(inconclusive="only eth0 was captured")
RULE = Expectation(rules=(Rule(cause="snat-port-race"),))


@pytest.mark.parametrize(
    ("checked", "code"),
    [
        (Checked.of(["b"], analysis()), 0),
        (Checked.of(["b"], LOST), 1),
        (Checked.of(["b"], BLIND), 2),
        (Checked(paths=("b",), error="no capture"), 2),
        (Checked.of(["b"], LOST, RULE), 0),
        (Checked.of(["b"], analysis(), RULE), 1),
        (Checked.of(["b"], LOST, Expectation()), 1),
        (Checked.of(["b"], analysis(), Expectation()), 0),
        (Checked.of(["b"], BLIND, Expectation()), 2),
        (Checked.of(["b"], BLIND, RULE), 2),
        (Checked.of(["b"], BLIND, Expectation(exit=2)), 0),
        (Checked.of(["b"], analysis(), Expectation(exit=2)), 1),
    ],
)
def test_exit(checked: Checked, code: int) -> None:
    """0, 1 or 2, as the bundle alone would have it."""
    assert code == checked.exit


def test_what_is_left_to_tell() -> None:
    """Without expectations all incidents; with them the unexpected, and what is missing."""
    assert (LOST.incidents, ()) == ((one := Checked.of(["b"], LOST)).incidents, one.missing)
    assert ((), ()) == ((one := Checked.of(["b"], LOST, RULE)).incidents, one.missing)
    assert (LOST.incidents, ()) == ((one := Checked.of(["b"], LOST, Expectation())).incidents, one.missing)
    assert ((), 1) == ((one := Checked.of(["b"], analysis(), RULE)).incidents, len(one.missing))
    assert () == Checked(paths=("b",), error="no capture").incidents


def test_why() -> None:
    """An error names its bundle once."""
    assert "a/b: no capture" == Checked(paths=("a/b",), error="no capture").why
    assert "a/b: no such file" == Checked(paths=("a/b",), error="a/b: no such file").why
    assert "" == Checked.of(["b"], analysis()).why


def test_files(tmp_path: Path) -> None:
    """A label leads to the capture: in a folder, given alone, among several; else to the archive that holds it."""
    folder, archive = tmp_path / "node7", tmp_path / "node7.tar"
    folder.mkdir()
    for path in (folder / "eth0.pcap", archive, tmp_path / "secret"):
        path.write_bytes(b"")
    eth0 = str(folder / "eth0.pcap")

    assert eth0 == Checked(paths=(str(folder),)).file("eth0.pcap")
    assert eth0 == Checked(paths=(eth0,)).file("eth0.pcap")
    assert eth0 == Checked(paths=(str(archive), eth0)).file("eth0.pcap")
    assert eth0 == Checked(paths=(str(archive), str(folder))).file("node7/eth0.pcap")
    assert str(archive) == Checked(paths=(str(archive),)).file("eth0.pcap")
    assert str(folder) == Checked(paths=(str(folder),)).file("../secret")
    assert str(folder) == Checked(paths=(str(folder),)).file("a\0b")


def test_last_seen() -> None:
    """Of a loss where the first lost attempt was seen last, of a reset where the offender was."""
    inner, outer = (
        Sighting(point=p, file=f"{p}.pcap", frame=n, time=0, src="", dst="")
        for n, p in enumerate(("cni0", "eth0"), 1)
    )
    passed = Attempt(time=0, fate=Fate.PASSED, packets=(inner, outer))
    lost = Attempt(time=1, fate=Fate.VANISHED, packets=(inner,))
    reply = Passage(sightings=(inner,), outward=False, label="ACK", fate=Fate.PASSED)
    offender = dataclasses.replace(reply, sightings=(outer,), role="offender")

    assert inner == last_seen(finding(attempts=(passed, lost)))
    assert outer == last_seen(finding(passages=(reply, offender)))
    assert inner == last_seen(finding(passages=(reply,)))
    assert last_seen(finding()) is None


def test_columns_are_let_go() -> None:
    """Of many bundles only what is told is kept."""
    held = dataclasses.replace(LOST, scene=object())  # type: ignore[arg-type]

    assert held.scene is not None
    assert (kept := Checked.of(["b"], held).analysis) is not None
    assert kept.scene is None
