"""Logs of slow requests beside the captures of a real race."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from analyzer import Analysis, UnusableInput, analyze
from analyzer.report import html, json_, notebook, text
from analyzer.report.redaction import redact
from analyzer.result import slow_requests as joining
from tests.conftest import ROOT

FIXTURE = ROOT / "fixtures/snat-race"
SERVER = "192.0.2.100"


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """The race, analysed."""
    return analyze(FIXTURE)


def waited() -> list[tuple[str, dict[str, Any]]]:
    """Who waited for long, as the programs themselves noted: pod and connect."""
    connects = json.loads((FIXTURE / "truth.json").read_text())["traffic"]["connects"]
    return [(pod, one) for pod, all_ in connects.items() for one in all_ if one["delay"] > 0.5]


def probes(folder: Path, **besides: object) -> Path:
    """The log that `lostsyn probe` would have written."""
    file = folder / "probe.jsonl"
    lines = [
        {"time_ns": int(one["time"] * 1e9), "duration_s": one["delay"], "connect_s": one["delay"], "sport": one["port"],
         "dst": SERVER, "dport": 80} | besides
        for _, one in waited()
    ]  # fmt: skip
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_each_slow_request_is_a_loss(analysis: Analysis, tmp_path: Path) -> None:
    """As many as the kernel counted, each with its connection, incident and cause."""
    slow = analysis.with_slow_log(probes(tmp_path)).slow
    assert slow is not None
    number = len(waited())

    assert number == analysis.counts.syn_vanished > 0
    assert f"of {number} slow requests {number} are explained: {number} by snat-port-race" == slow.says
    assert {"node": number} == slow.verdicts
    lost = {finding.inner for incident in analysis.incidents for finding in incident.findings}
    found = [(one.request, one.connection) for one in slow.requests if one.connection]
    assert lost == {connection.name for _, connection in found}
    assert {"syn-vanished-1"} == {connection.incident for _, connection in found}
    assert all(abs(request.duration - connection.delay_s) < 0.05 for request, connection in found)


def test_an_application_that_knows_no_ports(analysis: Analysis, tmp_path: Path) -> None:
    """Its CSV notes when a request was done, in milliseconds, and whom it asked: time and wait tell the connection."""
    log = tmp_path / "requests.csv"
    rows = [
        f"{one['time'] + one['delay']:.6f},{1000 * one['delay']:.3f},http://{SERVER}/" for _, one in waited()
    ]
    log.write_text("\n".join(["timestamp,duration_ms,url", *rows]) + "\n")
    slow = analysis.with_slow_log(log).slow
    assert slow is not None

    assert {"node": len(rows)} == slow.verdicts


def test_slow_at_the_server_and_elsewhere(analysis: Analysis, tmp_path: Path) -> None:
    """A request whose connection stood at once was slow at the server; one to somebody else has no connection here."""
    (tmp_path / "a").mkdir()
    at_server = probes(tmp_path / "a", duration_s=9.0)
    (tmp_path / "b").mkdir()
    slow = analysis.with_slow_log(at_server, probes(tmp_path / "b", dst="192.0.2.7")).slow
    assert slow is not None
    number = len(waited())

    assert {"server": number, "unmatched": number} == slow.verdicts
    assert [None] * number == [one.connection for one in slow.requests[number:]]


def test_every_report_tells(analysis: Analysis, tmp_path: Path) -> None:
    """Text, HTML, JSON by its schema, notebook, and all of it with aliases instead of addresses."""
    told = analysis.with_slow_log(probes(tmp_path))
    assert told.slow is not None
    document = json_.to_dict(told)
    jsonschema.validate(document, json_.schema(), cls=jsonschema.Draft202012Validator)

    assert told.slow.says == document["slow_log"]["says"]
    assert "slow_log" not in json_.to_dict(analysis)
    for shown in (html.render(told), notebook.analysis(told), text.render(told), text.overview(told)):
        assert "slow requests" in shown
        assert "explained" in " ".join(shown.split())
    assert 'href="#syn-vanished-1"' in html.render(told).partition('id="slow"')[2].partition("</section>")[0]
    assert "10.244.0.11" not in json.dumps(json_.to_dict(redact(told, b"k" * 16)))


def test_hostile_names(analysis: Analysis, tmp_path: Path) -> None:
    """The name of a log, and what stands in it, neither moves the cursor nor becomes markup."""
    file = tmp_path / "a\x1b[2J<b>.jsonl"
    file.write_bytes(probes(tmp_path).read_bytes() + b'{"time": "\x1b[2J<b>"}\n\xff\xfe\n')
    told = analysis.with_slow_log(file)

    assert 2 == len(told.caveats) - len(analysis.caveats)
    assert "\x1b" not in text.render(told) + html.render(told)
    assert "<b>" not in html.render(told).partition('id="slow"')[2]


def test_what_cannot_be_read(analysis: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is not there is one sentence; of one that is too large the beginning is read, and said."""
    with pytest.raises(UnusableInput, match=r"none: cannot be read: No such file"):
        analysis.with_slow_log(tmp_path / "none")
    file = probes(tmp_path)
    whole = len(file.read_bytes())
    monkeypatch.setattr(joining, "LARGEST", whole - 5)
    cut = analysis.with_slow_log(file)
    assert cut.slow is not None

    assert len(waited()) - 1 == len(cut.slow.requests)
    assert "only its first" in " ".join(cut.caveats)
    with pytest.raises(ValueError, match="holds no captures"):
        dataclasses.replace(analysis, scene=None).with_slow_log(file)


def test_nothing_slow(analysis: Analysis, tmp_path: Path) -> None:
    """An empty log is no mistake."""
    (tmp_path / "empty").touch()
    told = analysis.with_slow_log(tmp_path / "empty")
    assert told.slow is not None

    assert "no slow request" == told.slow.says
    assert "No slow request" in html.render(told)
