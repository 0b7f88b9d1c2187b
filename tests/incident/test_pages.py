"""The public pages of what is no cause."""

from __future__ import annotations

import pytest

from analyzer.incident import causes, pages
from analyzer.incident.model import Kind
from tests.incident.causes.test_causes import SECTIONS


@pytest.mark.parametrize("code", pages.OTHERS)
def test_page(code: str) -> None:
    """One sentence, then the five sections, as those of the causes."""
    first, *rest = pages.page(code).split("\n\n")

    assert first.endswith(".")
    assert list(SECTIONS) == [part.splitlines()[0] for part in rest]


def test_every_kind_is_explained() -> None:
    """In a page of its own; the first paragraph is one sentence."""
    assert set(Kind.__args__) <= {*pages.KINDS, *pages.OTHERS}
    for page in pages.KINDS.values():
        assert page.partition("\n")[0].endswith(".")


def test_causes_come_first() -> None:
    """In the order of their proof; and a name that is none is a KeyError."""
    assert causes.CODES == pages.CODES[: len(causes.CODES)]
    with pytest.raises(KeyError):
        pages.page("scene")
