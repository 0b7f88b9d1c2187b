"""`lostsyn report`: analyse, and write the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from analyzer.cli.common import advise, bundle_options, make_folder, run, slow_log_option, write
from analyzer.cli.saying import note
from analyzer.cli.sharing import Sharing, sharing_options


@click.command()
@bundle_options
@slow_log_option
@click.option(
    "-o",
    "output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("lostsyn-report.html"),
    show_default=True,
    help="The HTML file to write; - for stdout.",
)
@click.option(
    "--per-incident",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Also write one HTML file for each incident into DIR.",
)
@sharing_options
def command(
    paths: Sequence[str],
    points: Sequence[str],
    roles: Sequence[str],
    memory: int | None,
    slow_logs: Sequence[Path],
    output: Path,
    folder: Path | None,
    sharing: Sharing,
) -> None:
    """Analyse captures and write one self-contained HTML report.

    Each PATH is a capture, a folder or an archive; together they are one bundle. The report opens
    offline, makes no request and prints well; it holds addresses, ports and numbers, but no payload. What the
    captures cannot tell, and which one to take next, is in it and on stderr.

    \b
    Exit status:
      0  the report was written, whatever it says
      2  it could not be

    \b
    Examples:
      lostsyn report FOLDER
      lostsyn report FOLDER -o race.html --per-incident incidents
      lostsyn report FOLDER --evidence evidence.pcapng
      lostsyn report FOLDER --slow-log lostsyn-probe.jsonl
      lostsyn report FOLDER --redact-key KEYFILE -o for-the-vendor.html
    """  # noqa: D301 - the backspaces keep click from joining the lines
    from analyzer.report import html
    from analyzer.report.verdict import headline

    sharing.keep_apart(output, *slow_logs)
    outputs = (output, sharing.evidence, *(folder.glob("*.html") if folder else ()))
    analysis = sharing.share(run(paths, points, roles, memory, outputs, slow_logs))
    write(html.render(analysis), output, str)
    if folder is not None:
        make_folder(folder)
        for incident in analysis.incidents:
            write(html.render_incident(analysis, incident), folder / f"{incident.id}.html")
    for caveat in analysis.caveats:
        note(caveat)
    advise(analysis)
    if analysis.slow:
        note(analysis.slow.says)
    if str(output) != "-":
        note(headline(analysis))
        note(f"the report is {output}")
