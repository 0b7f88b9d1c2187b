"""Objects of a cluster as `kubectl describe` and YAML tell them."""

from __future__ import annotations

from analyzer.evidence.naming import Name
from analyzer.evidence.sources import cluster_documents

SERVICE = """Name:                     web
Namespace:                shop
Selector:                 app=web
Type:                     LoadBalancer
IP:                       10.96.7.7
IPs:                      10.96.7.7,2001:db8::7
LoadBalancer Ingress:     203.0.113.7
Port:                     http  80/TCP
TargetPort:               8080/TCP
Endpoints:                <none>
"""
POD = """Name:             {}
Namespace:        shop
Node:             node-a/192.0.2.10
Status:           Running
IP:               {}
IPs:
  IP:           10.244.1.12
"""
NODE = """Name:               node-a
Roles:              <none>
Addresses:
  InternalIP:  192.0.2.10
  Hostname:    node-a
"""
YAML = """apiVersion: v1
items:
- apiVersion: v1
  kind: Service
  metadata:
    annotations:
      name: not-this
    name: web
    namespace: shop
  spec:
    clusterIP: 10.96.7.7
    clusterIPs:
    - 10.96.7.7
    ports:
    - port: 80
  status:
    loadBalancer:
      ingress:
      - ip: 203.0.113.7
- apiVersion: v1
  kind: Pod
  metadata:
    labels:
      app: web
    name: web-0
    namespace: shop
  spec:
    nodeName: node-a
  status:
    hostIP: 192.0.2.10
    podIP: 10.244.1.12
    podIPs:
    - ip: 10.244.1.12
- apiVersion: v1
  kind: Pod
  metadata:
    name: proxy
  spec:
    hostNetwork: true
  status:
    podIP: 192.0.2.10
- apiVersion: v1
  kind: Node
  metadata:
    name: node-a
  status:
    addresses:
    - address: 192.0.2.10
      type: InternalIP
    - address: node-a
      type: Hostname
kind: List
"""


def names(text: str) -> list[tuple[str, str, str, str]]:
    """Parse what is recognised; each name once."""
    assert cluster_documents.recognises(text)
    facts = [fact for fact in cluster_documents.parse(text, "a") if isinstance(fact, Name)]
    return list(dict.fromkeys((fact.address, fact.kind, fact.text, fact.node) for fact in facts))


def test_described() -> None:
    """Services, pods and nodes, one after the other; a pod of the host's network has no address of its own."""
    text = "\n".join([SERVICE, POD.format("web-0", "10.244.1.12"), POD.format("proxy", "192.0.2.10"), NODE])
    assert [
        ("10.96.7.7", "service", "shop/web", ""), ("2001:db8::7", "service", "shop/web", ""),
        ("203.0.113.7", "service", "shop/web", ""), ("10.244.1.12", "pod", "shop/web-0", "node-a"),
        ("192.0.2.10", "node", "node-a", ""),
    ] == names(text)  # fmt: skip


def test_yaml() -> None:
    """The same as YAML, a list of several kinds."""
    assert [
        ("10.96.7.7", "service", "shop/web", ""), ("203.0.113.7", "service", "shop/web", ""),
        ("10.244.1.12", "pod", "shop/web-0", "node-a"), ("192.0.2.10", "node", "node-a", ""),
    ] == names(YAML)  # fmt: skip


def test_other_documents() -> None:
    """Other kinds, and objects that are cut before their names, name nobody."""
    assert not cluster_documents.recognises("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n")
    assert [] == list(cluster_documents.parse("apiVersion: v1\nkind: Pod\nstatus:\n  podIP: 10.0.0.1\n", "a"))
