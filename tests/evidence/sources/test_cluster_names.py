"""Names of a cluster's addresses."""

from __future__ import annotations

import json

import pytest

from analyzer.evidence.facts import Caveat
from analyzer.evidence.naming import Name
from analyzer.evidence.sources import cluster_names

PODS = """NAMESPACE     NAME                      READY   STATUS      RESTARTS     AGE   IP            NODE     NOMINATED NODE   READINESS GATES
kube-system   coredns-5d78c9869d-abcde   1/1     Running     2 (5d ago)   10d   10.244.0.5    node7    <none>           <none>
shop          web-0                      1/1     Running     0            10d   2001:db8::5   node7    <none>           <none>
shop          job-x                      0/1     Completed   0            10d   10.244.0.6    node7    <none>           <none>
shop          pending-1                  0/1     Pending     0            10d   <none>        <none>   <none>           <none>
"""
SERVICES = """NAME         TYPE           CLUSTER-IP    EXTERNAL-IP    PORT(S)        AGE   SELECTOR
kubernetes   ClusterIP      10.96.0.1     <none>         443/TCP        10d   <none>
web          LoadBalancer   10.96.44.5    203.0.113.7    80:31380/TCP   10d   app=web
headless     ClusterIP      None          <none>         80/TCP         10d   app=x
"""
NODES = """NAME    STATUS   ROLES    AGE   VERSION   INTERNAL-IP   EXTERNAL-IP   OS-IMAGE   KERNEL-VERSION   CONTAINER-RUNTIME
node7   Ready    <none>   10d   v1.29.1   192.0.2.10    <none>        Debian     6.1.0-18-amd64   containerd://1.7
"""


def names(text: str) -> list[tuple[str, str, str, str]]:
    """Parse what is recognised."""
    assert cluster_names.recognises(text)
    facts = list(cluster_names.parse(text, "a"))
    return [(fact.address, fact.kind, fact.text, fact.node) for fact in facts if isinstance(fact, Name)]


def test_listings() -> None:
    """Columns are found by their heads; pods that ended have no address any more."""
    assert [
        ("10.244.0.5", "pod", "kube-system/coredns-5d78c9869d-abcde", "node7"), ("2001:db8::5", "pod", "shop/web-0", "node7"),
        ("10.96.0.1", "service", "kubernetes", ""), ("10.96.44.5", "service", "web", ""), ("203.0.113.7", "service", "web", ""),
        ("192.0.2.10", "node", "node7", ""),
    ] == names(f"{PODS}\n{SERVICES}\n{NODES}")  # fmt: skip


POD = {
    "kind": "Pod", "metadata": {"name": "web-0", "namespace": "shop"}, "spec": {"nodeName": "node7"},
    "status": {"podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}, {"ip": "2001:db8::5"}], "phase": "Running"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"apiVersion": "v1", "kind": "List", "items": [POD]}, {("10.244.0.5", "pod", "shop/web-0"), ("2001:db8::5", "pod", "shop/web-0")}),
        (POD | {"spec": {"hostNetwork": True}}, set()), (POD | {"status": {"podIP": "10.0.0.1", "phase": "Failed"}}, set()),
        ({"kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"clusterIP": "10.96.44.5"},
          "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}},
         {("10.96.44.5", "service", "shop/web"), ("203.0.113.7", "service", "shop/web")}),
        ({"kind": "NodeList", "items": [{"metadata": {"name": "node7"}, "status": {"addresses": [
            {"type": "InternalIP", "address": "192.0.2.10"}, {"type": "Hostname", "address": "node7"}]}}]},
         {("192.0.2.10", "node", "node7")}),
        ({"kind": "EndpointSlice", "metadata": {"namespace": "shop"}, "endpoints": [
            {"addresses": ["10.244.0.5"], "targetRef": {"kind": "Pod", "name": "web-0"}}]}, {("10.244.0.5", "pod", "shop/web-0")}),
        ({"kind": "Endpoints", "metadata": {"namespace": "shop"}, "subsets": [{"addresses": [
            {"ip": "10.244.0.5", "targetRef": {"kind": "Pod", "name": "web-0", "namespace": "shop"}}]}]},
         {("10.244.0.5", "pod", "shop/web-0")}),
        ([{"Id": "x", "Name": "/web", "NetworkSettings": {"IPAddress": "172.17.0.2", "Networks": {"bridge": {"IPAddress": "172.17.0.2"}}}}],
         {("172.17.0.2", "container", "web")}),
        ([{"Name": "bridge", "Containers": {"x": {"Name": "web", "IPv4Address": "172.17.0.2/16"}}}], {("172.17.0.2", "container", "web")}),
        ({"status": {"metadata": {"name": "web-0", "namespace": "shop"}, "network": {"additionalIps": [], "ip": "10.244.0.5"}}},
         {("10.244.0.5", "pod", "shop/web-0")}),
    ],
)  # fmt: skip
def test_documents(document: object, expected: set[tuple[str, str, str]]) -> None:
    """Objects of Kubernetes and of container runtimes, whatever they are listed in."""
    assert expected == {one[:3] for one in names(json.dumps(document, indent=2))}


def test_damage_and_other_text() -> None:
    """Objects of another shape are told; other tables and JSON are none."""
    odd = json.dumps({"kind": "List", "items": [5, {"kind": "Pod", "status": [1]}, POD]})
    assert 2 == sum(isinstance(fact, Caveat) for fact in cluster_names.parse(odd, "a"))
    (caveat,) = cluster_names.parse('{"kind": "Pod", "metadata"', "a")
    assert isinstance(caveat, Caveat)
    for text in (
        "NAME STATUS\nx y\n",
        '[{"ifindex":1,"ifname":"lo"}]',
        '[{"kind":"fq_codel","handle":"0:"}]',
    ):
        assert not cluster_names.recognises(text)


def test_rows_without_a_head() -> None:
    """What `--no-headers` and `grep` leave names pods too; what has ended, and other tables' rows, do not."""
    rows = "\n".join(PODS.splitlines()[1:])
    assert [
        ("10.244.0.5", "pod", "kube-system/coredns-5d78c9869d-abcde", "node7"),
        ("2001:db8::5", "pod", "shop/web-0", "node7"),
    ] == [one for one in names(rows) if one[0] != "10.244.0.6"]
    assert not cluster_names.recognises("\n".join(SERVICES.splitlines()[1:]))
