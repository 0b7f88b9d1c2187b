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


def test_every_kind_without_causes_of_its_own_is_explained() -> None:
    """Whatever vanished, was refused or misdelivered is what the causes are about."""
    explained = {"invalid-reset", "invalid-dropped", "unnatted-leak"}

    assert explained <= set(pages.OTHERS)
    caused = {f"{what}-vanished" for what in ("syn", "udp", "icmp", "reply", "data", "error")}
    assert {*caused, "refused", "misdelivered"} | explained == set(Kind.__args__)


def test_causes_come_first() -> None:
    """In the order of their proof; and a name that is none is a KeyError."""
    assert causes.CODES == pages.CODES[: len(causes.CODES)]
    with pytest.raises(KeyError):
        pages.page("scene")
