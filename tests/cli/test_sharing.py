"""`--evidence`, `--payload`, `--redact` and `--redact-key`, of `check` and of `report`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_check import lossy
from tests.conversation import Conversation, bystander, record
from tests.report.test_evidence import packets

POD = "10.244.0.11"


@pytest.fixture
def lost(tmp_path: Path) -> Path:
    """A bundle with a SYN and a UDP request that vanish."""
    ask = Conversation(pod=f"{POD}:5353", server="192.0.2.53:53", nat="192.0.2.10:5353", proto="udp")
    ask.data(b"a secret question", at=1).lost_after("cni0")
    return record(tmp_path / "lost", lossy(), ask, bystander(-1), bystander(5))


def test_evidence_beside_the_report(lost: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """The capture is written, stderr says where, and how many packets it has."""
    out, file = tmp_path / "out.html", tmp_path / "evidence.pcapng"
    ran = lostsyn("report", lost, "-o", out, "--evidence", file)

    assert 0 == ran.code
    assert f"lostsyn: {len(packets(file))} packets; the evidence is {file}\n" in ran.err
    assert b"secret" not in file.read_bytes()
    assert out.exists()


def test_evidence_of_a_check(lost: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """A CI job keeps it as an artifact; stdout and exit code are as without."""
    plain = lostsyn("check", lost)
    ran = lostsyn("check", lost, "--evidence", tmp_path / "evidence.pcapng", "--payload")

    assert plain.code == ran.code
    assert plain.out.partition("\nMade by ")[0] == ran.out.partition("\nMade by ")[0]
    assert any(packet.data.endswith(b"a secret question") for packet in packets(tmp_path / "evidence.pcapng"))


@pytest.mark.parametrize("form", ["text", "json"])
def test_redacted(lost: Path, tmp_path: Path, lostsyn: Callable[..., Any], form: str) -> None:
    """No output has the pod's address; a key drawn anew gives other aliases in each run."""
    first, second = (
        lostsyn("check", lost, "--redact", "--format", form, "--evidence", tmp_path / f"{name}.pcapng")
        for name in "ab"
    )

    assert 1 == first.code
    assert POD not in first.out + first.err
    assert bytes([10, 244, 0, 11]) not in (tmp_path / "a.pcapng").read_bytes()
    assert first.out != second.out


def test_a_key_keeps_aliases(lost: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """With a key file, report and check of any run use the same aliases."""
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    first, second = (lostsyn("check", lost, "--redact-key", key) for _ in range(2))
    lostsyn("report", lost, "--redact-key", key, "-o", tmp_path / "out.html")
    alias = next(line for line in first.out.splitlines() if ":20000 > " in line).split()[0]

    assert first.out == second.out
    assert POD not in first.out
    assert alias in (tmp_path / "out.html").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--payload"], "give both"),
        (["--payload", "--redact", "--evidence", "x.pcapng"], "cannot be redacted"),
        (["--redact-key", "no/such/key"], "make a key with head -c 32 /dev/urandom > no/such/key"),
        (["--redact-key", "short"], "has 3 bytes, a key needs 16"),
        (["--evidence", "lost/evidence.pcapng"], "would be read as one of its captures"),
        (["--evidence", "no/such/folder/evidence.pcapng"], "cannot be written"),
    ],
)
def test_what_cannot_be(
    lost: Path,
    tmp_path: Path,
    lostsyn: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    says: str,
) -> None:
    """Each contradiction is one sentence and exit code 2, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short").write_bytes(b"abc")
    ran = lostsyn("check", "lost", *options)

    assert (2, "") == (ran.code, ran.out)
    assert says in ran.err
    assert not list(tmp_path.glob("**/*.pcapng"))


def test_a_capture_is_not_overwritten(lost: Path, lostsyn: Callable[..., Any]) -> None:
    """Evidence never takes the place of the capture that it is made of."""
    before = (lost / "eth0.pcap").read_bytes()
    ran = lostsyn("check", lost / "cni0.pcap", lost / "eth0.pcap", "--evidence", lost / "eth0.pcap")

    assert 2 == ran.code
    assert before == (lost / "eth0.pcap").read_bytes()
