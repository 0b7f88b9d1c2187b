"""No address of a bundle is in any redacted output; one address has one alias in all of them."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

from analyzer import Analysis, analyze
from analyzer.connection.model import Fate
from analyzer.connection.passages import address
from analyzer.report import evidence, filters
from analyzer.report.aliases import Aliases
from analyzer.report.headers import read
from analyzer.report.redaction import Redaction, redact
from tests.capture.layers import ROWS, Layered
from tests.conftest import Case, analysed
from tests.golden import renderings
from tests.report.test_evidence import packets

KEY = b"a key of the tests"
REDACTION = Redaction(KEY)
ALIASES = Aliases(KEY)
LOOKS_LIKE_ONE = re.compile(r"\d+(?:\.\d+){3}|[0-9a-f]*:[0-9a-f:]*:[0-9a-f]*")
STYLE = re.compile(r"<style>.*?</style>|<script>.*?</script>", re.DOTALL)


@cache
def _of(folder: Path) -> Analysis:
    return analyze(folder)


def _alias(text: str) -> str:
    parsed = ip_address(text)
    return str(type(parsed)((ALIASES.v4 if parsed.version == 4 else ALIASES.v6)(int(parsed))))


def _addresses(analysis: Analysis) -> set[str]:
    """All addresses of the flows of all points that have an alias of their own."""
    assert analysis.scene is not None
    flows = [point.flows for point in analysis.scene.points]
    found = {
        address(int(hi), int(lo))
        for flow in flows
        for end in ("src", "dst")
        for hi, lo in zip(getattr(flow, f"{end}_hi"), getattr(flow, f"{end}_lo"), strict=True)
    }
    return {text for text in found if _alias(text) != text}


def _macs(analysis: Analysis) -> set[int]:
    assert analysis.scene is not None
    flows = [point.flows for point in analysis.scene.points]
    found = {int(mac) for flow in flows for column in (flow.mac_src, flow.mac_dst) for mac in column}
    return {mac for mac in found if ALIASES.mac(mac) != mac}


def test_no_address_leaks(bundle_case: Case, tmp_path: Path) -> None:
    """In HTML, JSON, text and evidence of every fixture no address of its packets is left, as text or as bytes."""
    analysis = _of(bundle_case.folder)
    originals, macs = _addresses(analysis), _macs(analysis)
    told = renderings(redact(analysis, KEY))
    path = tmp_path / "evidence.pcapng"
    evidence.write(analysis, path, key=KEY)
    written = path.read_bytes()
    texts = {*originals, *(mac.to_bytes(6, "big").hex(":") for mac in macs)}

    assert originals
    for name, text in (*told.items(), ("evidence", written.decode("latin-1"))):
        assert not [
            one for one in texts if re.search(rf"(?<![\w.:]){re.escape(one)}(?![\w.]|:\d*:)", text)
        ], name
    assert not [one for one in originals if ip_address(one).packed in written]
    assert not [one for one in macs if one.to_bytes(6, "big") in written]


def test_whatever_looks_like_an_address_is_replaced(bundle_case: Case) -> None:
    """Each text of the outputs that reads as an address has become its alias, wherever it came from."""
    analysis = _of(bundle_case.folder)
    plain, told = renderings(analysis), renderings(redact(analysis, KEY))
    for name, text in plain.items():
        found = set()
        for token in LOOKS_LIKE_ONE.findall(STYLE.sub("", text)):
            try:
                found.add(str(ip_address(token)))
            except ValueError:
                continue
        names_somebody = {one for one in found if _alias(one) != one}

        assert not names_somebody & set(LOOKS_LIKE_ONE.findall(STYLE.sub("", told[name])))


def test_everything_else_stays(bundle_case: Case) -> None:
    """Counts, fates, times, files and frames of a redacted analysis are those of the analysis."""
    analysis = _of(bundle_case.folder)
    told = redact(analysis, KEY)

    assert analysis.counts == told.counts
    assert analysis.capture_points == told.capture_points
    assert len(analysis.caveats) + 1 == len(told.caveats)
    for before, after in zip(analysis.incidents, told.incidents, strict=True):
        assert (before.id, before.cause, before.first, before.gap) == (
            after.id,
            after.cause,
            after.first,
            after.gap,
        )
        for one, other in zip(before.findings, after.findings, strict=True):
            assert [p.fate for p in one.passages] == [p.fate for p in other.passages]
            assert [(s.file, s.frame) for p in one.passages for s in p.sightings] == [
                (s.file, s.frame) for p in other.passages for s in p.sightings
            ]
    assert all(isinstance(p.fate, Fate) for i in told.incidents for f in i.findings for p in f.passages)


def test_columns_are_left_behind(cases: dict[str, Case]) -> None:
    """A redacted analysis has no tables: they would tell."""
    with pytest.raises(ValueError, match="holds no captures"):
        _ = redact(analysed("snat-race"), KEY).flows


def test_one_alias_in_all_outputs(cases: dict[str, Case], tmp_path: Path) -> None:
    """The pod is called the same in text, JSON, HTML and in the packets' headers."""
    analysis = analysed("snat-race")
    path = tmp_path / "evidence.pcapng"
    evidence.write(analysis, path, key=KEY)
    alias = _alias("10.244.0.11")

    assert all(f"{alias}:20008" in text for text in renderings(redact(analysis, KEY)).values())
    assert alias in {Ether(packet.data)[IP].src for packet in packets(path) if packet.point == "veth-a"}


def test_the_redacted_evidence_tells_the_incident(cases: dict[str, Case], tmp_path: Path) -> None:
    """Lostsyn itself reads it: the same loss, cause and gap, with the aliases for addresses."""
    path = tmp_path / "evidence.pcapng"
    evidence.write(analysed("snat-race"), path, key=KEY)
    (incident,) = analyze(path).incidents

    assert ("syn-vanished", "snat-port-race", ("cni0", "eth0")) == (
        incident.kind,
        incident.cause,
        incident.gap,
    )
    assert all(finding.inner.startswith(_alias("10.244.0.11")[:8]) for finding in incident.findings)


@pytest.mark.tshark
def test_display_filters_work_on_the_redacted_evidence(cases: dict[str, Case], tmp_path: Path) -> None:
    """The filter in the redacted report finds in the redacted evidence what the plain one finds in the plain evidence."""
    for name in ("snat-race", "snat-race-ipv6"):
        analysis = analysed(name)
        counts = []
        for key in (None, KEY):
            told = analysis if key is None else redact(analysis, key)
            path = tmp_path / "evidence.pcapng"
            evidence.write(analysis, path, key=key)
            made = filters.connections(told.incidents[0].findings[:1]).text
            run = subprocess.run(
                ["tshark", "-r", str(path), "-Y", made], check=True, capture_output=True, text=True
            )
            counts.append(len(run.stdout.splitlines()))

        assert counts[0] == counts[1] > 0


def test_payload_is_never_redacted(cases: dict[str, Case], tmp_path: Path) -> None:
    """Payload and aliases exclude each other: payload may name addresses in any form."""
    with pytest.raises(ValueError, match="payload cannot be redacted"):
        evidence.write(analysed("clean"), tmp_path / "x", payload=True, key=KEY)


@pytest.mark.parametrize("layered", ROWS.values(), ids=ROWS)
def test_frames_of_every_layer(layered: Layered) -> None:
    """Outer and inner, tunnelled and quoted headers lose their addresses; all else but checksums and options stays."""
    out = REDACTION.frame(layered.frame, layered.link)
    before, after = read(layered.frame, layered.link), read(out, layered.link)
    loose = {at for begin, end, _ in before.options for at in range(begin, end)}
    loose |= {
        at + i
        for places, size in ((before.macs, 6), (before.v4, 4), (before.v6, 16))
        for at in places
        for i in range(size)
    }
    loose |= {at + i for at in (*before.checksums, *(begin + 10 for begin, _ in before.ipv4)) for i in (0, 1)}

    assert before.end == after.end == len(out)
    assert all(out[at] == layered.frame[at] for at in range(len(out)) if at not in loose)
    for places, size, alias in (
        (before.macs, 6, ALIASES.mac),
        (before.v4, 4, ALIASES.v4),
        (before.v6, 16, ALIASES.v6),
    ):
        for at in places:
            original = int.from_bytes(layered.frame[at : at + size], "big")
            assert alias(original) == int.from_bytes(out[at : at + size], "big")


def test_checksums() -> None:
    """An IPv4 header's checksum is right again; transport checksums, which would tell the addresses, are 0."""
    for transport in (TCP(), UDP(), ICMP()):
        frame = bytes(IP(src="10.244.0.11", dst="192.0.2.100") / transport)
        out = IP(REDACTION.frame(frame, 101))
        right = out.copy()
        del right.chksum

        assert IP(bytes(right)).chksum == out.chksum
        assert 0 == out.payload.chksum


def test_arp_and_what_icmp_quotes() -> None:
    """The addresses inside an ARP packet and inside a quoted header are the aliases that they are elsewhere."""
    arp = ARP(REDACTION.frame(bytes(Ether() / ARP(psrc="10.244.0.1", pdst="10.244.0.11")), 1)[14:])
    quoted = IP(src="10.244.0.11", dst="192.0.2.100") / UDP(dport=53)
    error = IP(REDACTION.frame(bytes(IP(src="192.0.2.1", dst="10.244.0.11") / ICMP(type=3) / quoted), 101))

    assert (_alias("10.244.0.1"), _alias("10.244.0.11")) == (arp.psrc, arp.pdst)
    assert _alias("10.244.0.11") == error[ICMP].payload.src == error.dst
    assert _alias("192.0.2.100") == error[ICMP].payload.dst


def test_options_that_may_hold_addresses_become_padding() -> None:
    """A client's address in a TCP option is overwritten; the options of a plain SYN are not."""
    plain = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (77, 33)), ("NOP", None), ("WScale", 7)]
    toa = TCP(options=[*plain, (254, b"\x00\x50\x0a\xf4\x00\x0b")])
    out = REDACTION.frame(bytes(IPv6(src="2001:db8::1", dst="2001:db8::2") / toa), 101)

    assert b"\x0a\xf4\x00\x0b" not in out
    assert plain == IPv6(out)[TCP].options[:5]


A, N, B, M = "10.244.0.11", "10.244.0.0", "2001:db8::1", "02:42:ac:11:00:02"


def _network(text: str, bits: int) -> str:
    parsed = ip_address(_alias(text))
    width = parsed.max_prefixlen
    return str(type(parsed)(int(parsed) >> (width - bits) << (width - bits)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{A}:20000 > 192.0.2.100:80/tcp", f"{_alias(A)}:20000 > {_alias('192.0.2.100')}:80/tcp"),
        (f"[{B}]:443", f"[{_alias(B)}]:443"),
        (f"ip.addr == {A} && tcp.port == 80", f"ip.addr == {_alias(A)} && tcp.port == 80"),
        (f"SRC={A} DST={A}.", f"SRC={_alias(A)} DST={_alias(A)}."),
        (f"-s {N}/16 ! -d {N}/16", f"-s {_network(N, 16)}/16 ! -d {_network(N, 16)}/16"),
        (f"inet {A}/24 brd", f"inet {_alias(A)}/24 brd"),
        (f"{N}/255.255.0.0", f"{_network(N, 16)}/255.255.0.0"),
        ("2001:db8::/32 via fe80::1%eth0", f"{_network('2001:db8::', 32)}/32 via {_alias('fe80::1')}%eth0"),
        ("default 0.0.0.0/0 ::/0 127.0.0.1 ::1", "default 0.0.0.0/0 ::/0 127.0.0.1 ::1"),
        (f"IP {A}.20000 > {A}.80:", f"IP {_alias(A)}.20000 > {_alias(A)}.80:"),
        ("node ip-10-244-0-11.internal", f"node ip-{_alias(A).replace('.', '-')}.internal"),
        (f"from {B}: refused", f"from {_alias(B)}: refused"),
        (f"::ffff:{A}", str(ip_address(f"::ffff:{_alias(A)}"))),
        (f"eth0:0:{A}", f"eth0:0:{_alias(A)}"),
        (
            "6.18.44 5.10.0-28 at 13:42:20.123456, 2026-11-25",
            "6.18.44 5.10.0-28 at 13:42:20.123456, 2026-11-25",
        ),
        ("1.2.3.400 std::vector a:b:c", "1.2.3.400 std::vector a:b:c"),
    ],
)
def test_texts(text: str, expected: str) -> None:
    """Addresses are found in every form in which tools print them, and nothing else is touched."""
    assert expected == REDACTION.text(text)


def test_macs_in_texts() -> None:
    """A MAC is replaced in any notation, also where netfilter's log runs two and an EtherType together."""
    alias = ALIASES.mac(int(M.replace(":", ""), 16)).to_bytes(6, "big").hex(":")

    assert f"lladdr {alias} STALE" == REDACTION.text(f"lladdr {M} STALE")
    assert alias.replace(":", "-") == REDACTION.text(M.upper().replace(":", "-"))
    assert f"MAC={alias}:{alias}:08:00 SRC=" == REDACTION.text(f"MAC={M}:{M}:08:00 SRC=")


@given(
    st.text(alphabet="(<['\"=,; \n", max_size=3),
    st.ip_addresses(v=4) | st.ip_addresses(v=6),
    st.text(alphabet=")>]'\",; \n%", max_size=3),
)
def test_any_address_between_any_signs(before: str, one: object, behind: str) -> None:
    """Whatever stands around an address, its alias is what stands there afterwards."""
    assert f"{before}{_alias(str(one))}{behind}" == REDACTION.text(f"{before}{one}{behind}")


@given(st.text(alphabet="0123456789abcdef:.-/ ", max_size=60))
def test_any_text_is_survived(text: str) -> None:
    """Text that is nearly an address does no harm, and nothing that parses as an IPv4 address is left as it was."""
    told = REDACTION.text(text)
    for token in re.findall(r"(?<![\d.:a-f/-])\d+(?:\.\d+){3}(?![\d.:a-f/-])", text):
        try:
            expected = _alias(token)
        except ValueError:
            continue

        assert expected in told


def test_values_of_any_shape() -> None:
    """Facts are replaced at any depth, in keys as well; numbers and enums are left alone."""
    facts = {A: [{"to": (A, 7, None)}], "fate": Fate.PASSED, "share": 0.5}

    assert {_alias(A): [{"to": (_alias(A), 7, None)}], "fate": Fate.PASSED, "share": 0.5} == REDACTION.value(
        facts
    )


def test_what_cannot_be_looked_into_is_refused() -> None:
    """A type that nobody thought of is an error, and never told as it is."""
    for value in (A.encode(), {"at": object()}):
        with pytest.raises(TypeError, match="cannot be redacted"):
            REDACTION.value(value)


def test_named_tuples_and_sets() -> None:
    """They keep their type."""
    assert filters.Filter(_alias(A), 3) == REDACTION.value(filters.Filter(A, 3))
    assert {_alias(A)} == REDACTION.value({A})


def test_the_report_says_that_it_is_redacted(cases: dict[str, Case]) -> None:
    """A caveat says so, with a name of the key that does not tell the key."""
    analysis = analysed("clean")
    first, other = (redact(analysis, key).caveats[0] for key in (KEY, b"another"))

    assert "aliases" in first
    assert first != other
    assert KEY.hex() not in first
    assert first == redact(dataclasses.replace(analysis, caveats=()), KEY).caveats[0]


def _mac(digits: str) -> str:
    return f"{ALIASES.mac(int(digits, 16)):012x}"


def _split(digits: str, size: int, sep: str) -> str:
    return sep.join(digits[at : at + size] for at in range(0, 12, size))


NOTATIONS = {
    "colons": lambda digits: _split(digits, 2, ":"),
    "upper case": lambda digits: _split(digits, 2, ":").upper(),
    "dashes": lambda digits: _split(digits, 2, "-"),
    "underscores": lambda digits: _split(digits, 2, "_"),
    "dots": lambda digits: _split(digits, 4, "."),
    "halves": lambda digits: _split(digits, 6, "-"),
    "without leading zeros": lambda digits: ":".join(
        f"{int(digits[at : at + 2], 16):x}" for at in range(0, 12, 2)
    ),
    "bare": str,
    "interface": lambda digits: f"enx{digits}",
}


@pytest.mark.parametrize("notation", NOTATIONS)
@given(
    digits=st.binary(min_size=6, max_size=6).map(bytes.hex).filter(lambda digits: not digits.isdecimal()),
    before=st.sampled_from(["", "(", "node-", "pod_", "interface:", "MAC ", "a/", "ns.", "de-"]),
    behind=st.sampled_from(["", ")", ": refused", ".pcap", "-eth0", "_eth0", ", ", "/b", ":eth0"]),
)
def test_macs_in_any_notation(notation: str, digits: str, before: str, behind: str) -> None:
    """Within names of interfaces, hosts, pods and files as well; the alias is written as the address was."""
    written, alias = NOTATIONS[notation](digits), NOTATIONS[notation](_mac(digits))
    if notation in ("upper case", "colons"):  # the alias is in lower case
        alias = alias.lower()
    if notation == "without leading zeros" and written == NOTATIONS["colons"](digits):
        alias = NOTATIONS["colons"](_mac(digits))
    if (notation, before) in {("halves", "de-"), ("dots", "ns.")}:  # the groups might as well begin before
        before = ""
    told = REDACTION.text(f"{before}{written}{behind}")

    assert f"{before}{alias}{behind}" == told


@pytest.mark.parametrize(
    "text", ["202611201058", "20261120-105816", "at 261120-105816", "1234567890123", "nf_conntrack_count"]
)
def test_what_is_no_mac(text: str) -> None:
    """Dates and numbers."""
    assert text == REDACTION.text(text)


def test_eight_short_groups_are_ipv6() -> None:
    """Though they read as a row of bytes."""
    assert _alias("10:20:30:40:50:60:70:80") == REDACTION.text("10:20:30:40:50:60:70:80")


@pytest.mark.parametrize(
    "piece", ["00:", "00-", "a:", "1.2.3.", "::1.2.3.4:", "0242ac11", "z0", "a-", "02:42:ac:11:00:02:"]
)
def test_long_texts_take_linear_steps(piece: str) -> None:
    """Twice the text is looked at twice as long: counted in calls of the pattern's replacements, and in matched letters."""
    import sys

    def steps(times: int) -> int:
        count = 0

        def trace(_: object, event: str, __: object) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(trace)
        try:
            Redaction(KEY).text(piece * times + "g")
        finally:
            sys.setprofile(None)
        return count

    assert steps(400) <= 2.2 * steps(200) + 500


def _cooked(link: int, hardware: int, address: bytes, size: int) -> bytes:
    padded = address.ljust(8, b"\xaa")
    inner = bytes(IP(src="10.244.0.11", dst="192.0.2.100") / TCP())
    if link == 113:
        return b"\0\0" + hardware.to_bytes(2, "big") + size.to_bytes(2, "big") + padded + b"\x08\0" + inner
    return b"\x08\0\xaa\xaa\0\0\0\7" + hardware.to_bytes(2, "big") + b"\0" + bytes([size]) + padded + inner


@pytest.mark.parametrize("link", [113, 276])
@pytest.mark.parametrize(
    ("hardware", "address", "size", "told"),
    [
        (1, bytes.fromhex("0242ac110002"), 6, "mac"),
        (778, bytes([198, 51, 100, 7]), 4, "v4"),  # ip_gre
        (768, bytes([198, 51, 100, 7]), 4, "v4"),  # ipip
        (823, bytes.fromhex("20010db800000001"), 16, ""),  # ip6gre: half of an address
        (32, bytes.fromhex("0242ac110002aabb"), 20, ""),  # InfiniBand
        (65534, bytes.fromhex("c6336407"), 4, ""),
        (1, bytes.fromhex("c6336407"), 4, ""),
    ],
)
def test_senders_of_cooked_frames(link: int, hardware: int, address: bytes, size: int, told: str) -> None:
    """A MAC and a tunnel's outer address become aliases; any other is blanked, as is what lay behind in memory."""
    out = REDACTION.frame(_cooked(link, hardware, address, size), link)
    at = 6 if link == 113 else 12
    number = int.from_bytes(address, "big")
    alias = {"mac": lambda: ALIASES.mac(number), "v4": lambda: ALIASES.v4(number), "": lambda: 0}[told]()

    assert alias.to_bytes(len(address), "big").ljust(8, b"\0") == out[at : at + 8]
    assert b"\xaa" not in out


def test_what_covers_the_originals_is_blanked() -> None:
    """AH's integrity value, SCTP's and GRE's checksums, a key that is an address."""
    from scapy.layers.inet6 import IPv6ExtHdrHopByHop  # noqa: F401 - loads the protocol's table
    from scapy.layers.l2 import GRE

    ah = bytes([6, 4, 0xAA, 0xAA]) + bytes(8) + b"\xaa" * 12
    frame = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2", nh=51)) + ah + bytes(TCP())
    assert b"\xaa" not in REDACTION.frame(frame, 101)

    sctp = bytes(IP(src="10.0.0.1", dst="10.0.0.2", proto=132)) + bytes(8) + b"\xaa" * 4 + bytes(4)
    assert b"\xaa" not in REDACTION.frame(sctp, 101)

    gre = GRE(chksum_present=1, key_present=1, seqnum_present=1, chksum=0xAAAA, key=0xAAAAAAAA, offset=0xAAAA)
    gre.sequence_number = 7
    tunnel = IP(src="198.51.100.1", dst="198.51.100.2") / gre / IP(src="10.0.0.1", dst="10.0.0.2") / TCP()
    out = REDACTION.frame(bytes(tunnel), 101)
    assert b"\xaa" not in out
    assert b"\0\0\0\7" in out


@pytest.mark.parametrize(
    "options", [b"\2\x0c" + b"\xaa" * 10, b"\0" + b"\xaa" * 11, b"\1\1\x08\x0a" + bytes(8)]
)
def test_options_of_the_wrong_length(options: bytes) -> None:
    """A known kind with a length of its own is none; nothing behind the end of the list counts."""
    tcp = bytearray(bytes(TCP()) + options)
    tcp[12] = (5 + len(options) // 4) << 4
    tcp[18:20] = b"\xaa\xaa"

    assert b"\xaa" not in REDACTION.frame(
        bytes(IP(src="10.0.0.1", dst="10.0.0.2", proto=6)) + bytes(tcp), 101
    )


@given(st.binary(max_size=8), st.sampled_from([3, 4, 5, 11, 12, 0, 8, 17]), st.binary(min_size=4, max_size=4))
def test_the_second_word_of_icmp(quoted: bytes, kind: int, word: bytes) -> None:
    """What means nothing there is blanked; an MTU, a pointer, an identifier stay, and a gateway has its alias."""
    frame = bytes(IP(src="10.0.0.1", dst="10.0.0.2", proto=1)) + bytes([kind, 0, 1, 2]) + word + quoted
    out = REDACTION.frame(frame, 101)[24:28]
    kept = {0: word, 8: word, 3: b"\0" + word[1:], 11: b"\0" + word[1:2] + b"\0\0", 12: word[:2] + b"\0\0"}
    gateway = ALIASES.v4(int.from_bytes(word, "big")).to_bytes(4, "big")

    assert {5: gateway, **kept}.get(kind, bytes(4)) == out
