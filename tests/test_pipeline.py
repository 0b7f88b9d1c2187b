"""From recordings to an analysis; what it finds is the fixtures' and the pipeline's to test."""

from __future__ import annotations

import subprocess
import sys

from analyzer import analyze
from analyzer.capture.bundle import Bundle
from analyzer.capture.points import record
from analyzer.capture.storage import Memory
from analyzer.evidence import collect
from analyzer.pipeline import conclude
from tests.conftest import FIXTURES


def test_recordings_are_enough() -> None:
    """Whoever has read the captures otherwise comes to the same conclusion."""
    bundle = Bundle.open([FIXTURES / "snat-race"])
    evidence = collect(bundle.evidence)
    recordings = record(bundle.captures, lambda _: evidence.interfaces, {}, lambda _: None, Memory())

    expected, actual = analyze(FIXTURES / "snat-race"), conclude(bundle, evidence, recordings)
    assert (expected.incidents, expected.account) == (actual.incidents, actual.account)
    assert (expected.counts, expected.caveats) == (actual.counts, actual.caveats)


def test_it_is_imported_beside_decoding() -> None:
    """Not before: that would keep one processor waiting."""
    program = "import sys, analyzer.api; print('analyzer.incident.findings' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "False" == done.stdout.strip()
