"""The formats of `lostsyn check`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from analyzer.cli.formats import FORMATS
from tests.conftest import ROOT


def test_each_is_in_the_help_and_in_the_docs(lostsyn: Callable[..., Any]) -> None:
    """With what it is; docs/ci.md has them in the same order."""
    helped = " ".join(lostsyn("check", "--help").out.split())
    rows = re.findall(
        r"^\| `(\w+)` \|", (ROOT / "docs/ci.md").read_text().split("## Formats")[1], re.MULTILINE
    )

    assert [*FORMATS] == rows[: len(FORMATS)]
    assert all(f"{name} {form.says}" in helped for name, form in FORMATS.items())
