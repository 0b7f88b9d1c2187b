"""The HTML report: one self-contained file that opens offline and makes no request.

Every value passes two gates on its way into a template, which no template can forget: `printable` (control
characters, length) as Jinja's `finalize`, and autoescape. The Content-Security-Policy allows nothing but the
page's own style and script, by hash.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import jinja2
from markupsafe import Markup

from analyzer import __version__
from analyzer.connection.model import Connection
from analyzer.incident.model import CapturePoint, Finding, Incident
from analyzer.report import account, ladder, page, provenance, words
from analyzer.result.analysis import Result


def render(analysis: Result) -> str:
    """Return the report of the whole bundle as one HTML file."""
    return _page(analysis, analysis.incidents)


def render_incident(analysis: Result, incident: Incident) -> str:
    """Return the report of *incident* alone, with the capture points and caveats of its bundle."""
    return _page(analysis, (incident,))


def ladder_svg(finding: Finding | Connection, points: Sequence[CapturePoint]) -> str:
    """Return the ladder of *finding* as an SVG file that carries its own style.

    Args:
        finding: Its passages are drawn.
        points: The bundle's capture points, from the pod to the uplink.
    """
    template = environment().get_template("ladder_file.svg")
    return template.render(ladder=ladder.build(finding, points), style=source("palette.css", "drawing.css"))


def _page(analysis: Result, incidents: Sequence[Incident]) -> str:
    style = source("palette.css", "page.css", "drawing.css")
    return self_contained("page.html", style, source("page.js"), page=page.build(analysis, incidents))


def self_contained(template: str, style: Markup, script: Markup | None = None, **values: object) -> str:
    """Render a page whose Content-Security-Policy allows this *style* and *script*, and nothing else."""
    script = script or Markup()
    hashes = {"style_hash": _hash(style), "script_hash": _hash(script)}
    return environment().get_template(template).render(style=style, script=script, **hashes, **values)


@functools.cache
def environment() -> jinja2.Environment:
    """Return what renders the templates; other pages that look like the report are rendered by it, too."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("analyzer.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_compiled(),
    )
    filters = ("cause_title", "clock", "count", "day", "duration", "placeholders", "short", "still")
    made.filters.update({name: getattr(words, name) for name in filters})
    made.filters.update({f"told_{name}": getattr(account, name) for name in ("coverage", "outcomes", "why")})
    made.globals.update({name: getattr(words, name) for name in ("fix_label", "period", "sure", "title")})
    made.globals.update(
        {
            "made_by": provenance.made_by,
            "version": __version__,
            "numbers": account.numbers,
            "whys": account.whys,
            "waits": account.waits,
            "account_line": account.line,
            "outcome_names": account.OUTCOMES,
            "waited": account.WAITED,
        }
    )
    return made


class _Compiled(jinja2.FileSystemBytecodeCache):
    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        with suppress(OSError):
            super().dump_bytecode(bucket)


def _compiled() -> _Compiled | None:
    """Keep compiled templates in the user's cache folder: to compile them anew takes a quarter of a short run.

    None where the folder cannot be made, or could be written by others: what it holds is run.
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "lostsyn")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mine = folder.stat()
    except (OSError, RuntimeError):  # RuntimeError: no home
        return None
    return _Compiled(str(folder)) if mine.st_uid == os.geteuid() and not mine.st_mode & 0o022 else None


def _finalize(value: object) -> object:
    """Make text printable; markup that a template made is printable already."""
    return words.printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@functools.cache
def source(*names: str) -> Markup:
    """Return files of the templates folder as they are: style and script."""
    loader = environment().loader
    assert loader is not None
    texts = [loader.get_source(environment(), name)[0] for name in names]
    return Markup("\n".join(texts))  # noqa: S704 - our own files, not input


def _hash(text: str) -> str:
    """Return the CSP source that allows exactly the element with this *text*."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
