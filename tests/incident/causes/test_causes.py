"""Every cause has its file, and every file its public page, remedies and sentence."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.incident import causes
from analyzer.incident.explanation import Loss
from analyzer.incident.model import Remedy

SECTIONS = (
    "What happens",
    "How it is recognised",
    "What is ruled out",
    "Remedies and their risks",
    "References",
)


@pytest.mark.parametrize("code", causes.CODES)
def test_page(code: str) -> None:
    """One sentence, then the five sections, in order, none empty."""
    page = inspect.cleandoc(causes.module(code).__doc__ or "")
    first, *rest = page.split("\n\n")
    titles = [part.splitlines()[0] for part in rest]

    assert first.endswith(".")
    assert list(SECTIONS) == [title for title in titles if title in SECTIONS]
    assert all(len(part.splitlines()) > 1 for part in rest if part.splitlines()[0] in SECTIONS)


@pytest.mark.parametrize("code", causes.CODES)
def test_remedies(code: str) -> None:
    """Each remedy says what to do, by which command, to what effect and at what risk."""
    module = causes.module(code)

    assert code == module.CODE
    assert module.REMEDIES
    for remedy in module.REMEDIES:
        assert isinstance(remedy, Remedy)
        assert all((remedy.do, remedy.command, remedy.effect, remedy.risk))


SUMMED = [code for code in causes.CODES if hasattr(causes.module(code), "summary")]


@pytest.mark.parametrize("code", SUMMED)
def test_summary(code: str) -> None:
    """One thing is told in the singular, more in the plural, and what lies between two points between these."""
    for to_node, kind in ((False, "syn-vanished"), (True, "syn-vanished"), (False, "data-vanished")):
        loss = Loss(connections=1, packets=1, gap=("cni0", "eth0"), delay_s=1.5, to_node=to_node, kind=kind)  # type: ignore[arg-type]
        one, many = (causes.module(code).summary(replace(loss, connections=n, packets=n)) for n in (1, 1234))

        assert re.match(
            r"1 (new |established |idle |data |UDP |DNS )?(connection|packet|answer|lookup|request)\b(?!s)",
            one,
        )
        assert re.match(r"1,234 [\w ]*?(connection|packet|answer|lookup|request)s\b", many)
        assert (
            re.search(
                r"\b1 (\w+ )?(times|connections|packets|queries|attempts|answers|segments|replies)\b", one
            )
            is None
        )
        assert (
            re.search(r"1,234 (\w+ )?(time|connection|packet|query|attempt|answer|segment|reply)\b", many)
            is None
        )
        assert "between" not in one or "between cni0 and eth0" in one
        assert one.endswith(".")


def test_detectors() -> None:
    """Whatever explains packets is asked in the order of its `RANK`, but the unknown; four rest on conntrack's counters."""
    ranks = {cause.CODE: cause.RANK for cause in causes.detectors()}
    counted = {cause.CODE for cause in causes.detectors() if cause.COUNTED}

    assert sorted(ranks.values()) == list(ranks.values())
    assert "unknown" not in ranks
    assert {"conntrack-table-full", "dns-insert-race", "snat-port-exhaustion", "snat-port-race"} == counted


def test_every_file_is_listed() -> None:
    """A cause that is written but not listed cannot be explained."""
    written = {path.stem.replace("_", "-") for path in Path(causes.__file__).parent.glob("*.py")}

    assert {*causes.CODES, "-invalid", "--init--"} == written


def test_no_such_cause() -> None:
    """A name that is none is a KeyError, also one of another module."""
    for code in ("gremlins", "invalid", "../cases", ""):
        with pytest.raises(KeyError):
            causes.module(code)
