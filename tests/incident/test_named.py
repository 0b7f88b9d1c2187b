"""Whose addresses are is told beside them, and is hidden with them."""

from __future__ import annotations

import pytest

from analyzer import Analysis, analyze
from analyzer.evidence.naming import Name
from analyzer.incident import named
from analyzer.report import annotation, html, json_, notebook, text
from analyzer.report.redaction import redact
from tests.conversation import Conversation, bystander, record

PODS = """\
NAMESPACE  NAME    READY  STATUS   RESTARTS  AGE  IP           NODE         NOMINATED NODE  READINESS GATES
shop       cart-0  1/1    Running  0         12d  10.244.0.11  worker-zulu  <none>          <none>
"""
SERVICES = """\
NAMESPACE  NAME     TYPE       CLUSTER-IP   EXTERNAL-IP  PORT(S)  AGE  SELECTOR
billing    ledger   ClusterIP  192.0.2.100  <none>       80/TCP   12d  app=ledger
"""
TOLD = (
    "10.244.0.11 is pod shop/cart-0 on worker-zulu",
    "192.0.2.100 is service billing/ledger",
)


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """A SYN of a pod is lost on its way to a service, and the bundle has kubectl's listings."""
    folder = tmp_path_factory.mktemp("named")
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    talk.syn().lost_after("cni0")
    talk.syn(at=1.0)
    talk.accept()
    record(folder, talk, bystander(-5), bystander(20))
    (folder / "pods.txt").write_text(PODS)
    (folder / "services.txt").write_text(SERVICES)
    return analyze(folder)


def test_every_form_names_them(analysis: Analysis) -> None:
    """Text, HTML, notebook and JUnit show the names beside the flow, JSON and tables have them in fields."""
    (incident,) = analysis.incidents
    shown = [
        " ".join(text.render(analysis).split()),
        html.render(analysis),
        notebook.finding(incident.findings[0]),
    ]
    shown.append(annotation.lines(incident)[1])
    assert [True] * 8 == [told in page for page in shown for told in TOLD]
    assert [one.says for one in incident.findings[0].names] == list(TOLD)
    (finding,) = json_.to_dict(analysis)["incidents"][0]["findings"]
    assert {
        "address": "10.244.0.11", "kind": "pod", "name": "cart-0", "namespace": "shop", "node": "worker-zulu",
    } == finding["names"][0]  # fmt: skip
    for table in (analysis.findings, analysis.connections):
        row = table[table["pod"] == "10.244.0.11"].iloc[0]
        assert ["cart-0", "shop", "worker-zulu", "billing/ledger"] == [
            row[column] for column in ("pod_name", "namespace", "pod_node", "service")
        ]


def test_names_are_redacted_with_their_addresses(analysis: Analysis) -> None:
    """No form of what was redacted has a name, and each name has one alias."""
    told = redact(analysis, b"key")
    for page in (text.render(told), html.render(told), json_.render(told)):
        assert [] == [name for name in ("cart-0", "shop", "worker-zulu", "billing", "ledger") if name in page]
    first, second = told.incidents[0].findings[0].names
    assert (first.kind, second.kind) == ("pod", "service")
    assert {"ns-", "hos"} == {first.namespace[:3], first.node[:3]}


def test_without_listings_nothing_changes() -> None:
    """Nobody has a name where no file tells it, and an address within another is not named."""
    name = Name(address="10.244.0.1", kind="node", name="a", file="f")
    assert () == named.among({}, "10.244.0.11:20000 > 192.0.2.100:80/tcp")
    assert () == named.among({"10.244.0.1": name}, "10.244.0.11:20000 > 110.244.0.1:80/tcp", None)
    (one,) = named.among({"2001:db8::10": name}, "[2001:db8::10]:443 > [2001:db8::11]:80/tcp")
    assert "10.244.0.1 is node a" == one.says
