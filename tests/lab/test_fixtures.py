"""The fixtures agree with themselves: captures, truth and expectation."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.truths import FOLLOWING

FIXTURES = Path(__file__).parents[2] / "fixtures"
CASES = sorted(path.parent.name for path in FIXTURES.glob("*/case.toml"))
MADE = sorted(path.parent.name for path in FIXTURES.glob("*/truth.json"))
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0 && !icmp"


def _case(name: str) -> dict[str, Any]:
    return tomllib.loads((FIXTURES / name / "case.toml").read_text())


def test_every_folder_is_a_case_and_in_the_readme() -> None:
    """Nothing lies in fixtures/ that no test reads."""
    assert sorted(path.name for path in FIXTURES.iterdir() if path.is_dir()) == CASES
    readme = (FIXTURES / "README.md").read_text()
    assert all(f"| `{name}` |" in readme for name in CASES)


@pytest.mark.parametrize("name", CASES)
def test_case_has_the_documented_keys(name: str) -> None:
    """The schema of fixtures/README.md, and no more."""
    case = _case(name)
    assert {"case", "expect"} == case.keys()
    assert {"name", "origin", "command"} <= case["case"].keys() <= {"name", "origin", "command", "kernel"}
    assert name == case["case"]["name"]
    assert {"exit", "counts"} <= case["expect"].keys() <= {"exit", "counts", "incidents"}
    assert case["expect"]["exit"] == bool(case["expect"].get("incidents"))
    for incident in case["expect"].get("incidents", []):
        assert {"kind", "cause", "gap", "findings"} == incident.keys()


@pytest.mark.parametrize("name", MADE)
def test_expectations_follow_from_the_truth(name: str) -> None:
    """No expected number is taken from what Lostsyn says."""
    truth = json.loads((FIXTURES / name / "truth.json").read_text())
    expect = _case(name)["expect"]
    counts, incidents = FOLLOWING[truth["scenario"]](truth)
    found: Counter[tuple[str, str]] = Counter()
    for incident in expect.get("incidents", []):
        found[incident["kind"], incident["cause"]] += incident["findings"]
    assert truth["kernel"] == _case(name)["case"]["kernel"]
    shared = counts.keys() & expect["counts"].keys()
    assert "syn_vanished" in shared
    assert {key: counts[key] for key in shared} == {key: expect["counts"][key] for key in shared}
    assert incidents == found


@pytest.mark.tshark
@pytest.mark.parametrize(
    "name",
    [
        "next-hop",
        "policy-drop",
        "port-exhaustion",
        "remote-loss",
        "service-race",
        "snat-race-ipv6",
        "snat-race",
        "snat-race-pcapng",
        "snat-race-any",
        "snat-race-rotated",
    ],
)
def test_captures_hold_the_expected_attempts(name: str, tshark: Callable[..., list[list[str]]]) -> None:
    """Each SYN once on the bridge; on eth0 all but the vanished."""
    counts = _case(name)["expect"]["counts"]
    folder = FIXTURES / name
    by_name = {link["ifname"]: link["ifindex"] for link in json.loads((folder / "ip-link.json").read_text())}
    for point, expected in (
        ("cni0", counts["syn_attempts"]),
        ("eth0", counts["syn_attempts"] - counts["syn_vanished"]),
    ):
        if files := list(folder.glob(f"{point}*.pcap*")):
            seen = sum(len(tshark(file, SYN)) for file in files)
        elif (file := folder / "any.pcap").exists():
            seen = len(tshark(file, f"{SYN} && sll.ifindex == {by_name[point]}"))
        else:
            seen = len(tshark(folder / "node.pcapng", f'{SYN} && frame.interface_name == "{point}"'))
        assert expected == seen


@pytest.mark.tshark
def test_late_ack_holds_the_hosts_reset(tshark: Callable[..., list[list[str]]]) -> None:
    """The rejected ACK on eth0 alone, the host's RST with its number, the server's RSTs everywhere."""
    folder = FIXTURES / "late-ack"
    (rejected,) = json.loads((folder / "truth.json").read_text())["invalid"]
    late = f"tcp.flags == 0x10 && tcp.ack_raw == {rejected['ack']}"
    host = f"tcp.flags == 4 && ip.src == 192.0.2.10 && tcp.seq_raw == {rejected['ack']}"
    for point, expected in (("eth0", 1), ("cni0", 0), ("veth-a", 0)):
        assert expected == len(tshark(folder / f"{point}.pcap", late))
        assert expected == len(tshark(folder / f"{point}.pcap", host))
        assert tshark(folder / f"{point}.pcap", "tcp.flags == 4 && ip.src == 192.0.2.100")
