"""Logs of slow requests, as programs write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.field.slowlog import MOST, SlowRequest, read

AT = 1_795_172_296_500_000_000  # 2026-11-20T10:58:16.5Z


def one(text: str) -> SlowRequest:
    """The one request of a log that is understood."""
    requests, caveats = read(text, "slow.log")
    assert [] == caveats
    (request,) = requests
    return request


def test_our_own() -> None:
    """Time is the beginning; ports and addresses are exact."""
    request = one(
        '{"time_ns": 1795992073595061901, "duration_s": 1.0265, "connect_s": 1.0265, "src": "10.244.0.11", "sport": 24719, '
        '"dst": "192.0.2.100", "dport": 80, "proto": "tcp", "endpoint": "192.0.2.100:80", "error": null}\n'
    )

    assert request == SlowRequest(
        begin=1795992073595061901,
        latest=1795992073595061901,
        duration=1.0265,
        src="10.244.0.11",
        sport=24719,
        dst="192.0.2.100",
        dport=80,
        file="slow.log",
        line=1,
    )


@pytest.mark.parametrize(
    ("text", "duration", "dst", "dport"),
    [
        (
            "timestamp,latency_ms,upstream\n2026-11-20T10:58:16.5Z,1020,192.0.2.100:80\n",
            1.02,
            "192.0.2.100",
            80,
        ),
        (
            "time;duration;server;port\n2026-11-20 11:58:16.500+01:00;1.02;192.0.2.100;80\n",
            1.02,
            "192.0.2.100",
            80,
        ),
        (
            '{"ts": 1795172296.5, "elapsed": "1.02s", "url": "http://192.0.2.100:80/a?b=c:1"}',
            1.02,
            "192.0.2.100",
            80,
        ),
        ('{"ts": 1795172296500, "elapsed": "1020ms", "addr": "[2001:db8::1]:443"}', 1.02, "2001:db8::1", 443),
        (
            '[{"time": 1795172296500000, "took_us": 1020000, "dst": "2001:db8::1", "dport": "443"}]',
            1.02,
            "2001:db8::1",
            443,
        ),
        (
            '{"@timestamp": "2026-11-20T10:58:16,500Z", "response-time": 1.02, "host": "shop.example:8080"}',
            1.02,
            None,
            8080,
        ),
        ("time\tduration\n20/Nov/2026:11:58:16 +0100\t2\n", 2.0, None, None),
    ],
)
def test_applications(text: str, duration: float, dst: str | None, dport: int | None) -> None:
    """Times with zones and as numbers, durations with units, addresses alone, with ports and in URLs."""
    request = one(text)

    assert (duration, dst, dport) == (request.duration, dst and request.dst, request.dport)
    assert AT - AT % 10**9 == request.latest - request.latest % 10**9
    # Whether its time is the beginning or the end, it does not say.
    assert int(duration * 1e9) == pytest.approx(request.latest - request.begin, abs=2)


def test_small_numbers() -> None:
    """JSON writes them with an exponent."""
    assert 9.597e-05 == one('{"start": 1.7951722965e9, "duration_s": 9.597e-05}').duration


def test_a_key_that_says_begin() -> None:
    """Its time is the beginning."""
    request = one('{"start": "2026-11-20T10:58:16.5Z", "duration": 2}')

    assert AT == request.begin == request.latest


@pytest.mark.parametrize(
    "row",
    [
        {"time": AT},
        {"duration": 1},
        {"time": "soon", "duration": 1},
        {"time": AT, "duration": "long"},
        {"time": AT, "duration": -1},
        {"time": AT, "duration": 1e99},
        {"time": True, "duration": 1},
        {"time": "9" * 19, "duration": 1},
        {"time": "9999-99-99", "duration": 1},
        7,
        "\x1b[2J",
    ],
)
def test_what_is_not_understood_is_told(row: Any) -> None:
    """With its line, in printable letters; the others are read."""
    good = json.dumps({"time": AT, "duration": 1})
    requests, (caveat,) = read(f"{good}\n{json.dumps(row)}\n{good}\n", "slow.log")

    assert [1, 3] == [request.line for request in requests]
    assert caveat.startswith("slow.log: request 2 has no time and duration")
    assert caveat.isprintable()


def test_many_strange_lines_are_counted() -> None:
    """Five are told, the rest is a number."""
    _, caveats = read("{}\n" * 20, "slow.log")

    assert 6 == len(caveats)
    assert "15 more" in caveats[-1]


def test_a_log_without_end() -> None:
    """So many are read, and that is said."""
    requests, (caveat,) = read(
        json.dumps({"time": 1, "duration": 1}).join([""] + ["\n"] * (MOST + 5)), "slow.log"
    )

    assert MOST == len(requests)
    assert f"only its first {MOST}" in caveat


@given(st.text())
def test_any_text(text: str) -> None:
    """Whatever it is, there is no traceback."""
    for start in ("", "{", "[", "time,duration\n"):
        read(start + text, "slow.log")
