"""The analysis of one upload."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from analyzer.web.analysing import work
from tests.conftest import FIXTURES

RACE = FIXTURES / "snat-race"


def _order(tmp_path: Path, *names: str, roles: dict[str, str] | None = None) -> dict[str, Any]:
    """Store files as the server does, under numbers."""
    files = []
    for number, name in enumerate(names, 1):
        path = tmp_path / f"{number:05d}"
        path.write_bytes((RACE / name).read_bytes())
        files.append({"number": number, "name": name, "path": str(path), "complete": True})
    return {"name": "checkout timeouts", "roles": roles or {}, "files": files}


def _report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def test_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Report, JSON and outcome are written; all call the files as the client did."""
    stand_in = ModuleType("analyzer.report.evidence")
    stand_in.write = lambda analysis, path: path.write_text(str(len(analysis.incidents)))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "analyzer.report.evidence", stand_in)
    work(_order(tmp_path, "veth-a.pcap", "cni0.pcap", "eth0.pcap"), tmp_path)
    outcome = json.loads((tmp_path / "outcome.json").read_text())

    assert (1, None) == (outcome["incidents"], outcome["inconclusive"])
    assert "vanished between cni0 and eth0" in outcome["says"]
    assert ["veth-a.pcap", "cni0.pcap", "eth0.pcap"] == [
        point["files"][0] for point in _report(tmp_path)["points"]
    ]
    assert "checkout timeouts" == _report(tmp_path)["bundle"]
    html = (tmp_path / "report.html").read_text()
    assert "checkout timeouts" in html
    assert str(tmp_path) not in html
    assert "00001" not in {point["name"] for point in _report(tmp_path)["points"]}
    assert "1" == (tmp_path / "evidence.pcapng").read_text()


def test_roles(tmp_path: Path) -> None:
    """A role that was said counts; one for a point that is not there is told, not dropped in silence."""
    work(_order(tmp_path, "cni0.pcap", "eth0.pcap", roles={"cni0": "pod", "eth9": "uplink"}), tmp_path)
    report = _report(tmp_path)

    assert ["pod", "uplink"] == [point["role"] for point in report["points"]]
    assert "the role given for eth9 was not used: no capture point is called so" in report["caveats"]


def test_inconclusive(tmp_path: Path) -> None:
    """One point alone proves nothing, and the outcome says why."""
    work(_order(tmp_path, "eth0.pcap"), tmp_path)

    assert "only eth0 was captured" in json.loads((tmp_path / "outcome.json").read_text())["inconclusive"]
    assert not (tmp_path / "evidence.pcapng").exists()


def test_damage_is_told_by_the_clients_name(tmp_path: Path) -> None:
    """A damaged archive beside good captures is a caveat that names it as the client did."""
    order = _order(tmp_path, "cni0.pcap", "eth0.pcap")
    with zipfile.ZipFile(tmp_path / "00003", "w") as archive:
        archive.writestr("a", b"a")
    (tmp_path / "00003").write_bytes((tmp_path / "00003").read_bytes()[:-9])
    order["files"].append(
        {"number": 3, "name": "more.zip", "path": str(tmp_path / "00003"), "complete": True}
    )
    work(order, tmp_path)

    assert [
        caveat for caveat in _report(tmp_path)["caveats"] if caveat.startswith("more.zip: the zip archive")
    ]


def test_no_evidence_without_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no evidence can be made, none is offered, and the rest is."""
    monkeypatch.setitem(sys.modules, "analyzer.report.evidence", None)
    work(_order(tmp_path, "cni0.pcap", "eth0.pcap"), tmp_path)

    assert not (tmp_path / "evidence.pcapng").exists()
    assert (tmp_path / "report.html").exists()
