"""Every output says what it was made by and from."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from analyzer import __version__
from analyzer.capture.hashing import Input
from analyzer.cli.formats import FORMATS
from analyzer.report import html, redaction, sarif
from analyzer.report.checked import Checked
from analyzer.report.provenance import inputs, made_by

SMALL, LARGE = "a" * 64, "b" * 64
COMMAND = "lostsyn check --redact --point=eth0=wan.pcap /home/anna/10.1.2.3"


@pytest.fixture
def told(sample: Any) -> Any:
    """Return an analysis of three inputs, one of them not hashed."""
    files = (("wan.pcap", 1 << 20, LARGE), ("ip-addr.txt", 900, SMALL), ("huge.pcap", 1 << 40, None))
    found = tuple(Input(file=file, size=size, sha256=sha256) for file, size, sha256 in files)
    return dataclasses.replace(sample.race(), inputs=found, command=COMMAND)


def test_every_format(told: Any) -> None:
    """Version, command line and each hash."""
    checked = [Checked.of(["node7"], told)]
    for output in (html.render(told), *(form.render(checked, each=False) for form in FORMATS.values())):
        output = " ".join(output.split())
        assert all(part in output for part in (__version__, COMMAND, LARGE, SMALL))


def test_sarif_names_artifacts(told: Any) -> None:
    """As the standard has it: `artifacts` with hashes, `commandLine` of the invocation."""
    (run,) = json.loads(sarif.render([Checked.of(["node7"], told), Checked.of(["node7"], told)]))["runs"]

    assert COMMAND == run["invocations"][0]["commandLine"]
    assert [{"sha-256": LARGE}, {"sha-256": SMALL}, None] == [one.get("hashes") for one in run["artifacts"]]


def test_what_was_not_hashed(told: Any, sample: Any) -> None:
    """It says how to have it; an analysis that no command asked for has no command line."""
    assert [("huge.pcap", "not computed (--sha256 does)")] == inputs(told)[2:]
    assert f"lostsyn {__version__}" == made_by(sample.race())


def test_redacted(told: Any) -> None:
    """No path is left, and no hash of a file so short that a guess at its addresses could be checked."""
    redacted = redaction.redact(told, b"k" * 32)

    assert "lostsyn check --redact --point ..." == redacted.command
    assert [LARGE, None, None] == [one.sha256 for one in redacted.inputs]
