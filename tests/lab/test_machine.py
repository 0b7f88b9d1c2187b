"""What belongs to the whole machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.errors import LostsynError, MissingTool
from analyzer.lab import machine
from analyzer.lab.machine import KernelLog, alone, setting

SWITCH = "net.netfilter.nf_log_all_netns"


def _value(name: str) -> int:
    return int(Path("/proc/sys", *name.split(".")).read_text())


def test_a_second_experiment_waits_and_then_says_what_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two would pull at the same sysctls; when the first is done the next one can begin."""
    monkeypatch.setattr(machine, "_LOCK", tmp_path / "run" / "lock")
    monkeypatch.setattr(machine, "_PATIENCE_S", 0.2)
    with (
        alone(),
        pytest.raises(LostsynError, match=r"another experiment has been running .*/run/lock"),
        alone(),
    ):
        pytest.fail("the block must not be entered")
    with alone():
        pass


@pytest.mark.kernel
def test_a_setting_is_restored_whatever_happens() -> None:
    """In the block it has the other value; after a failure in it the old one."""
    before = _value(SWITCH)
    with pytest.raises(RuntimeError, match="dry"), setting(SWITCH, 1 - before):  # noqa: PT012 - the first line is the point
        assert 1 - before == _value(SWITCH)
        raise RuntimeError("the pump is dry")
    assert before == _value(SWITCH)


def test_a_setting_that_the_kernel_lacks_is_a_sentence() -> None:
    """No traceback of the open file; the name is in it."""
    with (
        pytest.raises(MissingTool, match=r"net\.no\.such cannot be set \(No such file"),
        setting("net.no.such", 1),
    ):
        pytest.fail("the block must not be entered")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            "4,812,5196630237,-;nf_conntrack: nf_conntrack: table full in netns 4026532317, dropping packet\n",
            "[ 5196.630237] nf_conntrack: nf_conntrack: table full in netns 4026532317, dropping packet\n",
        ),
        (
            "4,9,1500,c;nf_ct_proto_6: invalid new IN=eth0\n SUBSYSTEM=net\n",
            "[    0.001500] nf_ct_proto_6: invalid new IN=eth0\n",
        ),
        ("6,813,1,-;cni0: port 1(veth-a) entered forwarding state\n", ""),
        ("nothing", ""),
    ],
)
def test_lines_are_those_of_dmesg_and_of_netfilter(
    record: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first line of each record of /dev/kmsg, with seconds since boot; what others log is left out."""
    monkeypatch.setattr(KernelLog, "_records", lambda _: iter([record]))
    log = KernelLog()
    assert expected == log.lines()
    log.close()


def test_a_log_that_may_not_be_read_has_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle then has no dmesg.txt; the run is none the worse."""
    monkeypatch.setattr(machine, "_KMSG", Path("/nowhere/kmsg"))
    log = KernelLog()
    assert log.lines() == ""
    log.close()
