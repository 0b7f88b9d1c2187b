"""deploy/: what a cluster is given is valid, asks for little, and fits together."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import kubernetes_validate
import pytest
import ruamel.yaml

from analyzer.field.script import script
from tests.conftest import ROOT

pytestmark = pytest.mark.field

DEPLOY = ROOT / "deploy"
MANIFESTS = ("namespace.yaml", "daemonset.yaml", "job.yaml", "trigger.yaml")
VERSIONS = ("1.30", kubernetes_validate.latest_version())
METRIC = re.compile(r"\b(?:node|kubeproxy|coredns|lostsyn)[:_][a-z_:]+\b")


def load(name: str) -> list[Any]:
    """All documents of a YAML file."""
    return list(ruamel.yaml.YAML(typ="safe").load_all((DEPLOY / name).read_text()))


def pods() -> Iterator[tuple[str, Any]]:
    """Name and pod specification of each workload."""
    for name in MANIFESTS:
        for each in load(name):
            if "template" in each.get("spec", {}):
                yield each["metadata"]["name"], each["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_valid(name: str, version: str) -> None:
    """Strictly, by the schemas of an old Kubernetes and of the newest that is at hand."""
    for document in load(name):
        kubernetes_validate.validate(document, version, strict=True)


def test_an_invalid_manifest_is_found() -> None:
    """The schemas do look."""
    (daemonset,) = load("daemonset.yaml")
    daemonset["spec"]["template"]["spec"]["hostNetworks"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(daemonset, VERSIONS[1], strict=True)


def test_pods_ask_for_little() -> None:
    """No token, no privileges, no capability that is not named, nothing written but archives, bounded memory."""
    seen = []
    for name, pod in pods():
        seen.append(name)
        (container,) = pod["containers"]
        rights = container["securityContext"]
        allowed = set() if name == "lostsyn-trigger" else {"NET_RAW", "NET_ADMIN", "SYSLOG", "SETGID"}
        assert pod["automountServiceAccountToken"] is False
        assert not pod.get("hostPID")
        assert not rights.get("privileged")
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["readOnlyRootFilesystem"] is True
        assert ["ALL"] == rights["capabilities"]["drop"]
        assert allowed == set(rights["capabilities"].get("add", ()))
        assert "memory" in container["resources"]["limits"]
        assert all(
            "configMap" in v or "emptyDir" in v or v["hostPath"]["path"] == "/var/lib/lostsyn"
            for v in pod["volumes"]
        )
    assert ["lostsyn-recorder", "lostsyn-capture", "lostsyn-trigger"] == seen


def test_the_script_takes_their_arguments(tmp_path: Path) -> None:
    """It would record, with the events and sizes that stand there."""
    for name, pod in pods():
        (container,) = pod["containers"]
        if name != "lostsyn-trigger":
            assert ["sh", "/script/capture.sh"] == container["command"]
            args = [str(tmp_path) if word == "/var/lib/lostsyn" else word for word in container["args"]]
            argv = ["sh", "-s", "--", "--dry-run", "-i", "lo", *args]
            done = subprocess.run(argv, input=script(), capture_output=True, text=True, check=False)
            assert (0, "") == (done.returncode, done.stderr)
            assert f"packed into {tmp_path}/lostsyn-" in done.stdout


def test_rules() -> None:
    """Promtool finds nothing wrong with the rules, and the unit tests of their levels pass."""
    for argv in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts-test.yaml"]):
        done = subprocess.run(["promtool", *argv], cwd=DEPLOY, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    """Each alert has a unit test."""
    rules = load("alerts.yaml")[0]["groups"][0]["rules"]
    tests = (DEPLOY / "alerts-test.yaml").read_text()

    assert [] == [rule["alert"] for rule in rules if "alert" in rule and rule["alert"] not in tests]


def queries() -> list[str]:
    """The dashboard's queries, with its variables filled in."""
    dashboard = json.loads((DEPLOY / "dashboard.json").read_text())
    return [
        target["expr"]
        .replace("$__rate_interval", "5m")
        .replace("$instance", ".*")
        .replace("$kubeproxy", ".*")
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


def test_queries_of_the_dashboard(tmp_path: Path) -> None:
    """They are PromQL, on the metrics of the rules and no others; none of the rules' is left out."""
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries())]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False
    )
    alerted = {
        m
        for group in load("alerts.yaml")[0]["groups"]
        for rule in group["rules"]
        for m in METRIC.findall(rule["expr"])
    }

    assert 0 == done.returncode, done.stdout + done.stderr
    assert alerted == {metric for query in queries() for metric in METRIC.findall(query)}


def test_the_dashboard_is_whole() -> None:
    """Panels have ids of their own and do not overlap, variables exist, lines are drawn where alerts fire."""
    dashboard = json.loads((DEPLOY / "dashboard.json").read_text())
    panels = dashboard["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    known = {variable["name"] for variable in dashboard["templating"]["list"]} | {"__rate_interval", "__all"}
    levels = [
        step["value"] for step in panels[0]["fieldConfig"]["defaults"]["thresholds"]["steps"] if step["value"]
    ]
    alerts = (DEPLOY / "alerts.yaml").read_text()

    assert len(panels) == len({panel["id"] for panel in panels})
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) <= known
    assert levels == [float(level) for level in re.findall(r"fill:ratio > (0\.\d+)", alerts)]
    assert all(panel["description"] and panel["title"] for panel in panels)


def test_alertmanager_and_trigger_fit() -> None:
    """Alerts that end a recording have the label that the route asks for; its webhook is a script of the trigger's."""
    (manager,) = load("alertmanager.yaml")
    scripts, deployment, service = load("trigger.yaml")
    (route,) = manager["route"]["routes"]
    receiver = next(each for each in manager["receivers"] if each["name"] == route["receiver"])
    url = receiver["webhook_configs"][0]["url"]
    recorder = load("daemonset.yaml")[0]["spec"]["template"]["spec"]["containers"][0]["args"]
    asked = next(word for word in recorder if "curl" in word).split()[-1].partition("?")[0]
    base = f"http://{service['metadata']['name']}.lostsyn.svc:{service['spec']['ports'][0]['port']}/cgi-bin/"

    assert ['lostsyn = "record"'] == route["matchers"]
    assert "lostsyn: record" in (DEPLOY / "alerts.yaml").read_text()
    assert {url, asked} == {base + name for name in scripts["data"]}
    assert "9095" in deployment["spec"]["template"]["spec"]["containers"][0]["command"]


@pytest.fixture
def trigger(tmp_path: Path) -> Iterator[str]:
    """The trigger's httpd with its scripts on this machine; yields its URL."""
    (scripts, *_) = load("trigger.yaml")
    (tmp_path / "queue").mkdir()
    folder = tmp_path / "www/cgi-bin"
    folder.mkdir(parents=True)
    for name, text in scripts["data"].items():
        (folder / name).write_text(text.replace("/queue/", f"{tmp_path}/queue/"))
        (folder / name).chmod(0o555)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    argv = ["busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", str(tmp_path / "www")]
    with subprocess.Popen(argv) as httpd:
        for _ in range(100):
            with closing(socket.socket()) as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/cgi-bin"
        httpd.terminate()


def get(url: str, body: bytes | None = None) -> int:
    """The status of a request."""
    try:
        with urlopen(url, body, timeout=5) as answer:  # noqa: S310 - our own server
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def test_the_trigger(trigger: str, tmp_path: Path) -> None:
    """What Alertmanager posts is taken once by each node that it names, and by no other."""
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": "ConntrackDrops", "lostsyn": "record", "node": f"node{n}"},
        }
        for n in (7, 8)
    ]
    body = json.dumps({"version": "4", "groupLabels": {"node": "node7"}, "alerts": alerts}).encode()

    assert 404 == get(f"{trigger}/taken?node7")
    assert 200 == get(f"{trigger}/alert", body)
    assert [200, 404, 200, 404] == [
        get(f"{trigger}/taken?{node}") for node in ("node7", "node7", "node8", "node9")
    ]


@pytest.mark.parametrize("name", ["../../x", "a/b", "$(touch x)", ".hidden", "x" * 300, ""])
def test_the_trigger_takes_names_of_nodes_only(trigger: str, tmp_path: Path, name: str) -> None:
    """Whatever else is posted or asked for leaves nothing."""
    assert 200 == get(f"{trigger}/alert", json.dumps({"alerts": [{"labels": {"node": name}}]}).encode())
    assert get(f"{trigger}/taken?{name.replace(' ', '%20')}") in (400, 404)
    assert [] == list((tmp_path / "queue").iterdir())
