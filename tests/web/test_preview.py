"""What was recognised: bounded, of the declared form, parsed once."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from analyzer.web import preview
from analyzer.web.folder import Folder
from analyzer.web.preview import PREVIEW, UPLOAD, Part, Preview

PART = Part(label="eth0.pcap", point="eth0", role="uplink", packets=2, first=5, last=9)
LONG = Part(label="x" * 1100, point="y" * 200, role=None)


def test_a_look_is_cut_to_what_may_be_told() -> None:
    """What fits is told as it is; of more, the first, with a note."""
    small = Preview(bytes=1, complete=True, parts=(PART,), texts={"a": "b"}, notes=("c",))
    large = preview.fitted(
        Preview(bytes=1, complete=True, parts=(LONG,) * 5000, texts={}, notes=("c",)), "n.zip"
    )

    assert small == preview.fitted(small, "n.zip")
    assert ("c", "n.zip: only a part of it is shown here") == large.notes
    assert 500 < len(large.parts) < 1000
    assert len(json.dumps(asdict(large))) < PREVIEW


def test_only_what_is_declared_is_taken(tmp_path: Path) -> None:
    """Other types, other keys, too many bytes, or nothing at all: as if the file had not been looked at."""
    path = tmp_path / "1.json"
    whole = asdict(Preview(bytes=1, complete=True, parts=(PART,), texts={}))
    for told in (
        [], {}, {**whole, "bytes": "1"}, {**whole, "more": 1}, {**whole, "parts": [{}]}, {**whole, "texts": {"a": 1}},
        {**whole, "notes": ["x" * PREVIEW]}, {**whole, "bytes": 1 << 64},
    ):  # fmt: skip
        path.write_text(json.dumps(told))
        assert None is preview.take(path)
    path.write_text(json.dumps(whole))
    assert Preview(bytes=1, complete=True, parts=(PART,), texts={}) == preview.take(path)
    assert None is preview.take(tmp_path / "2.json")


def test_all_previews_of_an_upload_are_bounded(tmp_path: Path) -> None:
    """A thousand files that hold as much as may be told of one make no file of a thousand times that size."""
    folder, one = Folder(tmp_path), Preview(bytes=1, complete=True, parts=(LONG,) * 600, texts={})
    preview.keep(folder, dict.fromkeys(range(1000), ("x" * 2000, one)))
    found = preview.kept(folder)

    assert folder.recognised.stat().st_size <= UPLOAD
    assert 1000 == len(found)
    assert (600, 0) == (len(found[0].parts), len(found[999].parts))
    assert 1 == len(found[999].notes)
    assert all(preview.complete for preview in found.values())


def test_previews_are_parsed_once(tmp_path: Path) -> None:
    """Whoever else asks gets the same objects, until something new was recognised."""
    folder, one = Folder(tmp_path), Preview(bytes=1, complete=True, texts={})
    assert {} == preview.kept(folder)
    preview.keep(folder, {1: ("a", one)})
    first = preview.kept(folder)

    assert first is preview.kept(folder)
    preview.keep(folder, {1: ("a", one), 2: ("b", one)})
    assert {1: one, 2: one} == preview.kept(folder)
    folder.recognised.write_text("{")
    assert {} == preview.kept(folder)
