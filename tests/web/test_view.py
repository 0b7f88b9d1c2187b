"""What is shown of an upload."""

from __future__ import annotations

from pathlib import Path

from analyzer.web.folder import write_json
from analyzer.web.jobs import Jobs
from analyzer.web.settings import Settings
from analyzer.web.store import Store
from analyzer.web.view import USELESS, as_json, build


def test_before_anything_is_known(tmp_path: Path) -> None:
    """An upload whose files were not looked at is shown with what is on the disk."""
    store = Store(tmp_path)
    upload = store.create("new")
    file = store.declare(upload, "eth0.pcap", 10)
    store.folder(upload).file(file.number).write_bytes(b"abc")
    view = build(upload, Jobs(store, Settings(data=tmp_path)))

    assert (3, 10, 1, True, False) == (
        view.size,
        view.announced,
        view.incomplete,
        view.recognising,
        view.busy,
    )
    assert ((), (), ()) == (view.points, view.missing, view.results)
    assert [] == as_json(view, "")["files"][0]["says"]
    store.close()


def test_what_is_coming_is_not_missing(tmp_path: Path) -> None:
    """While a file was looked at in part, the time behind its last packet is not told as a pause; then it is."""
    store = Store(tmp_path)
    upload = store.create("new")
    told = {}
    for name, last in (("cni0.pcap", 60), ("eth0.pcap", 20)):
        number = store.declare(upload, name, 1).number
        point, span = name.removesuffix(".pcap"), {"first": 0, "last": last * 10**9}
        role = {"cni0": "bridge", "eth0": "uplink"}[point]
        part = {"label": name, "point": point, "role": role, "packets": 999, **span}
        told[number] = {"bytes": 1, "complete": last == 60, "parts": [part], "texts": {}, "notes": []}
    jobs, pause = (
        Jobs(store, Settings(data=tmp_path)),
        "no capture of the uplink between 00:00:20 and 00:01:00",
    )
    write_json(store.folder(upload).recognised, {str(number): preview for number, preview in told.items()})
    coming = build(upload, jobs)
    told[number]["complete"] = True
    write_json(store.folder(upload).recognised, {str(number): preview for number, preview in told.items()})
    came = build(upload, jobs)
    store.close()

    assert (True, False) == (coming.recognising, pause in coming.missing)
    assert (False, True) == (came.recognising, pause in came.missing)


def test_what_was_recognised(tmp_path: Path) -> None:
    """What a preview wrote becomes points, notes and the words beside each file; of a file taken out nothing stays."""
    store = Store(tmp_path)
    upload = store.create("new")
    numbers = [store.declare(upload, name, 1).number for name in ("eth0.pcap", "a.txt", "b.jpg")]
    for number in numbers:
        store.complete(upload, number, 1)
    part = {"label": "eth0.pcap", "point": "eth0", "role": "uplink", "packets": 2, "first": 5, "last": 9}
    empty = {"bytes": 1, "complete": True, "parts": [], "texts": {}, "notes": []}
    previews = [
        {**empty, "parts": [part]},
        {**empty, "texts": {"a.txt": "uname -r"}},
        {**empty, "notes": ["b.jpg: neither"]},
    ]
    write_json(
        store.folder(upload).recognised,
        {**dict(zip(map(str, numbers), previews, strict=True)), "99": previews[0]},
    )
    view = build(upload, Jobs(store, Settings(data=tmp_path)))

    assert [("capture of eth0",), ("uname -r",), ("not used",)] == [each.says for each in view.files]
    assert [("eth0", 2, 5, 9)] == [
        (point.name, point.packets, point.first, point.last) for point in view.points
    ]
    assert ("b.jpg: neither",) == view.notes
    assert (False, False) == (view.recognising, view.busy)
    assert "1970-01-01T00:00:00.000000005Z" == as_json(view, "")["points"][0]["first"]
    store.close()


def test_nothing_was_recognised(tmp_path: Path) -> None:
    """A bundle that holds nothing of use says so, once all of it was looked at; one with a known text does not."""
    store = Store(tmp_path)
    upload = store.create("new")
    for name in ("a.jpg", "notes.txt"):
        store.complete(upload, store.declare(upload, name, 1).number, 1)
    jobs = Jobs(store, Settings(data=tmp_path))
    preview = {"bytes": 1, "complete": True, "parts": [], "texts": {}, "notes": []}

    def told(*texts: str) -> bool:
        texts_of = {
            str(n): {**preview, "texts": {"x": text} if text else {}} for n, text in enumerate(texts, 1)
        }
        write_json(store.folder(upload).recognised, texts_of)
        return USELESS in as_json(build(upload, jobs), "")["missing"]

    assert [False, True, False] == [told(""), told("", "text in no known format"), told("", "uname -r")]
    store.close()
