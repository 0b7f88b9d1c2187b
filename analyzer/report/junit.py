"""JUnit XML: a test suite for each bundle, a test case for each incident and each expectation that is not met.

The attributes and elements are those that Apache Ant writes, all of them: Jenkins, GitLab and others read them.
Nothing depends on when it is written, so one input and command line give one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from analyzer import __version__
from analyzer.incident.model import Incident
from analyzer.report import account, provenance
from analyzer.report.annotation import heading, line, lines
from analyzer.report.checked import Checked
from analyzer.report.verdict import headline
from analyzer.report.words import iso, period, printable


def render(checked: Sequence[Checked]) -> str:
    """Return the document; what was expected is a test that passed."""
    root = ElementTree.Element("testsuites")
    for number, one in enumerate(checked):
        root.append(_suite(one, number))
    ElementTree.indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ElementTree.tostring(root, encoding='unicode')}\n"


def _suite(checked: Checked, number: int) -> ElementTree.Element:
    analysis, name = checked.analysis, line(checked.name) or "bundle"
    cases = _cases(checked, name)
    span = period(analysis) if analysis else None
    suite = ElementTree.Element(
        "testsuite",
        id=str(number),
        name=name,
        package="lostsyn",
        timestamp=iso(span[0])[:19] if span else "1970-01-01T00:00:00",
        hostname="localhost",
        time="0",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped="0",
    )
    properties = ElementTree.SubElement(suite, "properties")
    said = []
    if analysis:
        told = analysis.account
        said = [headline(analysis), account.line(told), *analysis.caveats]
        given = [("kernel", analysis.kernel or ""), ("headline", said[0])]
        given += [
            (one, str(getattr(told, one))) for one in ("connections", "worked", "node", "outside", "unknown")
        ]
        given += [("tool", f"lostsyn {__version__}"), ("command", analysis.command)]
        given += [(f"sha256 {file}", sha256) for file, sha256 in provenance.inputs(analysis)]
        for one, value in given:
            if value:
                ElementTree.SubElement(properties, "property", name=line(one), value=line(value))
    suite.extend(cases)
    ElementTree.SubElement(suite, "system-out").text = "\n".join(map(printable, said))
    ElementTree.SubElement(suite, "system-err")
    return suite


def _cases(checked: Checked, suite: str) -> list[ElementTree.Element]:
    def case(name: str, fault: str = "", kind: str = "", message: str = "", text: str = "") -> None:
        cases.append(ElementTree.Element("testcase", classname=suite, name=line(name), time="0"))
        if fault:
            told = ElementTree.SubElement(cases[-1], fault, type=line(kind), message=line(message))
            told.text = text

    cases: list[ElementTree.Element] = []
    if checked.error:
        case("analysis", "error", "inconclusive" if checked.analysis else "unusable", checked.error)
    strange = {incident.id for incident in checked.incidents}
    for incident in checked.analysis.incidents if checked.analysis else ():
        if incident.id in strange:
            case(_name(incident), "failure", incident.cause, incident.summary, "\n".join(lines(incident)))
        else:
            case(_name(incident))
    for unmet in checked.missing:
        # The number that was found comes last: without it the name stays the same from run to run.
        case(unmet.says.rpartition(", ")[0] or unmet.says, "failure", "not-as-expected", unmet.says)
    if not cases:
        case("as expected" if checked.expectation else "no incident")
    return cases


def _name(incident: Incident) -> str:
    return f"{incident.id}: {heading(incident)}"
