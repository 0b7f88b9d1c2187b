"""The formats of `lostsyn check`: a row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from analyzer.cli.saying import in_commands, in_json, in_xml, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analyzer.report.checked import Checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format."""

    says: str
    """What it is: its line in the help."""
    module: str
    """Its renderer, in `analyzer.report`: with `render` of the bundles, or with `render_checked` of one and `render_each`."""
    printed: Callable[[str], str] = shown
    """Makes of it what may go into the log of a CI job."""

    def render(self, checked: Sequence[Checked], *, each: bool, **style: Any) -> str:
        """Return the bundles in this format.

        Args:
            checked: One, or several where *each*.
            each: Whether every path was a bundle of its own.
            style: Of text: `width`, `colour`.
        """
        module = import_module(f"analyzer.report.{self.module}")
        if not hasattr(module, "render_each"):
            text: str = module.render(checked)
        else:
            text = (
                module.render_each(checked, **style) if each else module.render_checked(checked[0], **style)
            )
        return text


FORMATS = {
    "text": Format(
        module="text",
        says="for people: impact, cause and fix first; coloured on a terminal (not if NO_COLOR is set)",
    ),
    "json": Format(
        module="json_", says="for programs: format_version 1, with a JSON Schema", printed=in_json
    ),
    "junit": Format(
        module="junit", says="JUnit XML: a suite for each bundle, a test for each incident", printed=in_xml
    ),
    "sarif": Format(
        module="sarif", says="SARIF 2.1.0: a result for each incident, for code scanning", printed=in_json
    ),
    "github": Format(
        module="github", says="workflow commands: annotations of a GitHub Actions job", printed=in_commands
    ),
    "markdown": Format(module="markdown", says="for the summary of a job, or a comment"),
}
"""By name, as `--format` takes it."""

HELP = "\n".join(f"  {name:<9} {one.says}" for name, one in FORMATS.items())
"""The lines of the help."""
