"""The kernel's release in four costumes."""

from __future__ import annotations

import pytest

from analyzer.evidence.facts import Kernel
from analyzer.evidence.sources import uname


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("6.18.44\n", "6.18.44"),
        ("5.15.0-91-generic\n", "5.15.0-91-generic"),
        ("4.19.0-26-cloud-amd64", "4.19.0-26-cloud-amd64"),
        ("5.10.199-190.747.amzn2.x86_64\r\n", "5.10.199-190.747.amzn2.x86_64"),
        ("6.1.0-18-amd64+\n", "6.1.0-18-amd64+"),
        (
            "Linux node7 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 x86_64 GNU/Linux\n",
            "6.1.0-18-amd64",
        ),
        ("Linux version 5.10.0 (builder@example) (gcc 10.2.1) #1 SMP\n", "5.10.0"),
        ("[    0.000000] Linux version 6.12.9+deb13-amd64 (builder@example) #1\n", "6.12.9+deb13-amd64"),
        ("$ uname -a\nLinux node7 6.1.0 #1 SMP\n", "6.1.0"),
        ("192.0.2.10\n", None),
        ("10.0.0.1", None),
        ("version 6.1.0", None),
        ("6.1.0\n5.10.0\n", None),
        ("Linux is 6.1.0 today", None),
        ("", None),
    ],
)
def test_releases(text: str, release: str | None) -> None:
    """A release is found where it is one, and nowhere else."""
    assert (release is not None) == uname.recognises(text)
    assert [Kernel(release=release, file="a")] * (release is not None) == list(uname.parse(text, "a"))  # type: ignore[arg-type]
