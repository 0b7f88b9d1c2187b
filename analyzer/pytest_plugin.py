"""A pytest plugin: a folder with captures and a `case.toml` is a test.

pytest loads it wherever Lostsyn is installed, so it imports nothing before it has found a `case.toml` of ours.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from analyzer.expectations import Expectation


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take a `case.toml` that has a table `expect`, or means to; those of other programs are left alone."""
    if file_path.name != "case.toml":
        return None
    import tomllib

    try:
        text = file_path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    try:
        ours = isinstance(tomllib.loads(text).get("expect"), dict | list)
    except (ValueError, RecursionError):
        # A slip in one of ours must not make its test vanish: collecting it says what is wrong.
        ours = bool(re.search(r"^\[\[?expect\b", text, re.MULTILINE))
    return CaseFile.from_parent(parent, path=file_path) if ours else None


class CaseFile(pytest.File):
    """One `case.toml`."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for each bundle that it names; as a rule the one that lies beside it."""
        from analyzer.errors import LostsynError
        from analyzer.expectations.file import read

        try:
            known = read(self.path)
        except LostsynError as error:
            raise self.CollectError(str(error)) from None
        for name, expectation in known.bundles.items():
            paths = [str(self.path.parent / path) for path in name]
            title = self.path.parent.name if name == (".",) else ",".join(name)
            yield CaseItem.from_parent(self, name=title, paths=paths, expectation=expectation)


class CaseItem(pytest.Item):
    """One bundle, and what is expected of it."""

    def __init__(self, *, paths: Sequence[str], expectation: Expectation, **given: Any) -> None:
        super().__init__(**given)
        self.paths = paths
        self.expectation = expectation

    def runtest(self) -> None:
        """Analyse and compare.

        Raises:
            NotAsExpected: It is not as expected, or nothing can be concluded.
        """
        from analyzer.api import analyze
        from analyzer.report import text
        from analyzer.report.checked import Checked

        checked = Checked.of(self.paths, analyze(self.paths), self.expectation)
        if checked.exit:
            reasons = [checked.error, *(unmet.says for unmet in checked.unmet)]
            raise NotAsExpected(text.render_checked(checked), "; ".join(filter(None, reasons)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what `lostsyn check` says instead of a traceback through Lostsyn."""
        from analyzer.errors import LostsynError

        if isinstance(excinfo.value, NotAsExpected):
            return _Told(*excinfo.value.args)
        if isinstance(excinfo.value, LostsynError):
            return _Told(str(excinfo.value), str(excinfo.value))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the expectation begins."""
        return self.path, self.expectation.line - 1, self.name


class NotAsExpected(AssertionError):  # noqa: N818 - reads as the sentence it is
    """A bundle is not as its `case.toml` says: the report, and the reason in a line."""


class _Told:
    """A failure as pytest shows it: whole in its place, the reason in the summary (`reprcrash.message`) and in JUnit."""

    def __init__(self, text: str, reason: str) -> None:
        self.text = text
        self.reprcrash = SimpleNamespace(message=reason)

    def toterminal(self, out: Any) -> None:
        out.line(self.text)

    def __str__(self) -> str:
        return self.text
