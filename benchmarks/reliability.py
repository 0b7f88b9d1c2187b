"""What hostile input, idle connections and kills cost: the figures of docs/reliability.md.

    python -m benchmarks.reliability [--kills N] [--large]

Writes the inputs itself, into a temporary folder. `--large` has the sizes that the document tells of; without it, a tenth.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import zstandard

from tests.web.serving import Server

RACE = Path(__file__).parent.parent / "fixtures" / "snat-race"
SMALL = ("veth-a.pcap", "cni0.pcap", "eth0.pcap")


def main() -> None:
    """Measure, and print Markdown."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=10)
    arguments.add_argument("--large", action="store_true")
    told = arguments.parse_args()
    with TemporaryDirectory() as made:
        folder, scale = Path(made), 10 if told.large else 1
        files(folder / "files", scale)
        print()
        viewers(folder / "viewers", 100_000 * scale)
        idle(folder / "idle", 110 * scale)
        kills(folder / "kills", told.kills)


def files(folder: Path, scale: int) -> None:
    """Let `lostsyn check` read each hostile file."""
    folder.mkdir()
    print("| file | KB | processor s | MB | exit | said |\n|---|---|---|---|---|---|")
    for name, write in (
        ("any.pcap.zst", lambda: _any(100_000 * scale)),
        ("folders.tar.zst", lambda: zstandard.compress(_folder() * (100_000 * scale))),
        ("extended.tar.zst", lambda: zstandard.compress(_extended() * (100 * scale))),
        ("zeros.tar.zst", lambda: _zeros(scale)),
        ("directory.zip", lambda: _directory(10_000 * scale)),
        ("archives", lambda: None),
    ):
        path = folder / name
        data = write()
        if data is None:
            _archives(path, 110 * scale)
        else:
            path.write_bytes(data)
        size = sum(one.stat().st_size for one in ([path] if path.is_file() else path.iterdir()))
        seconds, memory, status, says = _checked(path)
        print(f"| {name} | {size >> 10} | {seconds:.1f} | {memory} | {status} | {says} |", flush=True)


def _checked(path: Path) -> tuple[float, int, int, str]:
    """Return the processor time and memory that `lostsyn check` needed, its exit status and its last words."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from analyzer.cli import main; main()", "check", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
    )
    assert process.stderr
    said = process.stderr.read().decode(errors="replace").strip().splitlines() or [""]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10, process.returncode, said[-1][:160]


def _any(count: int) -> bytes:
    """Write a capture of `-i any` with another interface number in each packet."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 276)]
    for number in range(1, count + 1):
        cooked = b"\x08\0\0\0" + number.to_bytes(4, "big") + b"\0\1\0\6" + bytes(8)
        header = struct.pack(">BBHHHBBHII", 69, 0, 40, number & 0xFFFF, 0, 64, 6, 0, 0x0A000001, 0xC0000264)
        segment = struct.pack(">HHIIBBHHH", 1024 + number % 60_000, 80, number, 0, 0x50, 2, 65535, 0, 0)
        frame = cooked + header + segment
        out.append(
            struct.pack("<IIII", 1_700_000_000 + number // 1000, number % 1000, len(frame), len(frame))
        )
        out.append(frame)
    return zstandard.compress(b"".join(out))


def _folder() -> bytes:
    info = tarfile.TarInfo("d")
    info.type = tarfile.DIRTYPE
    return info.tobuf(tarfile.USTAR_FORMAT)


def _extended() -> bytes:
    info = tarfile.TarInfo("p")
    info.type, info.size = tarfile.XHDTYPE, 0o177000
    return info.tobuf(tarfile.USTAR_FORMAT) + b"3 =" * (info.size // 3) + bytes(info.size % 3)


def _zeros(gigabytes: int) -> bytes:
    info = tarfile.TarInfo("eth0.pcap")
    info.size = gigabytes << 30
    made = zstandard.ZstdCompressor().compressobj()
    out = [made.compress(info.tobuf(tarfile.GNU_FORMAT))]
    out += [made.compress(bytes(1 << 20)) for _ in range(gigabytes << 10)]
    return b"".join([*out, made.flush()])


def _directory(count: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as written:
        for number in range(count):
            written.writestr(str(number), b"")
    return out.getvalue()


def _archives(folder: Path, count: int) -> None:
    folder.mkdir()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as written:
        written.add(RACE / "uname.txt", "uname.txt")
    for number in range(count):
        (folder / f"{number}.tar.gz").write_bytes(out.getvalue())
    for name in SMALL:
        (folder / name).write_bytes((RACE / name).read_bytes())


def viewers(data: Path, count: int) -> None:
    """Upload a capture of many interfaces, and let six people look at it."""
    server = Server(data, log=data.with_suffix(".log"))
    begin = time.monotonic()
    body = _any(count)
    upload, url = server.begin("any.pcap.zst", len(body))
    server.client.patch(url, content=body, headers={"Upload-Offset": "0"})
    server.recognised(upload)
    known, longest = time.monotonic() - begin, 0.0

    def look() -> None:
        nonlocal longest
        with httpx.Client(headers=server.client.headers, trust_env=False, timeout=120) as client:
            for _ in range(10):
                for path in (f"/uploads/{upload}", f"/api/uploads/{upload}", "/"):
                    asked = time.monotonic()
                    client.get(server.url + path).raise_for_status()
                    longest = max(longest, time.monotonic() - asked)

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(
        f"* {count:,} interfaces in an upload: recognised after {known:.1f} s; six viewers: longest answer {longest:.2f} s, "
        f"server's memory {server.peak() >> 20} MB"
    )
    server.stop()


def idle(data: Path, count: int) -> None:
    """Hold half-sent requests open, without the token, while somebody works."""
    log = data.with_suffix(".log")
    server = Server(data, log=log, files=1024)
    host, port = server.url.removeprefix("http://").split(":")
    longest = 0.0
    with ExitStack() as stack:
        for _ in range(count):
            held = stack.enter_context(socket.create_connection((host, int(port))))
            held.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ")
        for _ in range(20):
            asked = time.monotonic()
            with httpx.Client(headers=server.client.headers, trust_env=False) as client:
                client.get(f"{server.url}/api/uploads").raise_for_status()
            longest = max(longest, time.monotonic() - asked)
    print(
        f"* {count:,} half-sent requests under 1,024 descriptors: longest answer to others {longest:.2f} s, "
        f"log {log.stat().st_size:,} bytes"
    )
    server.stop()


def kills(data: Path, count: int) -> None:
    """Kill the server, and what analyses, again and again while bundles are uploaded; then count what is there."""
    chance, sent = random.Random(1), list[str]()
    files = [("files", (name, (RACE / name).read_bytes())) for name in SMALL]
    server = Server(data, log=data.with_suffix(".log"))
    for _ in range(count):
        for _ in range(3):
            told = server.client.post("/api/uploads", files=files)
            sent.append(told.json()["id"])
        time.sleep(chance.random() * 2)
        if chance.random() < 0.5 and (
            workers := [*server.children("analyse"), *server.children("recognise")]
        ):
            with suppress(ProcessLookupError):
                os.kill(chance.choice(workers), chance.choice([signal.SIGKILL, signal.SIGSEGV]))
        else:
            server.kill()
            server = Server(data, log=data.with_suffix(".log"))
    ended = [server.ended(upload) for upload in sent]
    found = {upload["id"] for upload in _all(server)}
    wrong = sum(told["state"] == "done" and told["incidents"] != 1 for told in ended)
    crashed = sum(told["state"] == "failed" for told in ended)
    print(
        f"* {count} kills during {len(sent)} uploads: {len(set(sent) - found)} lost, {len(found - set(sent))} doubled, "
        f"{wrong} with another result, {crashed} told as crashed or killed"
    )
    server.stop()


def _all(server: Server) -> Iterator[dict[str, object]]:
    following: str | None = "/api/uploads"
    while following:
        page = server.client.get(following).json()
        yield from page["uploads"]
        following = page["next"]


if __name__ == "__main__":
    main()
