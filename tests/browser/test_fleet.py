"""The page of a fleet in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analyzer.fleet import html
from tests.browser.test_report import _FRAME, _MEASURE
from tests.fleet import sample

pytestmark = pytest.mark.browser


def test_loads_without_complaint(load: Callable[..., Any]) -> None:
    """Thousands of hostile names: no console message, and the page is whole."""
    loaded = load(html.render(sample.large()))

    assert () == loaded.console
    assert "</main>" in loaded.dom


@pytest.mark.parametrize("width", [1200, 390])
def test_nothing_overflows(load: Callable[..., Any], tmp_path: Path, width: int) -> None:
    """The page is as wide as its window; wide tables scroll by themselves."""
    page = html.render(sample.report([f"n{number}{'w' * 200}" for number in range(3)]))
    page = re.sub("<meta http-equiv[^>]*>", "", page).replace("</body>", _MEASURE + "</body>")
    (tmp_path / "inner.html").write_text(page, encoding="utf-8")
    loaded = load(_FRAME.replace("WIDTH", str(width)))
    told = re.search(r'<p id="out">(\d+) (\d+) (\d+)</p>', loaded.dom)
    assert told
    scroll, inner, widest = map(int, told.groups())

    assert width == inner == scroll
    assert widest <= width
