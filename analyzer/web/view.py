"""What the pages and the API show of an upload: read from the database and the disk, computed nowhere else."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from analyzer.report.words import count, iso
from analyzer.web.folder import RESULTS, Folder, Progress
from analyzer.web.jobs import Jobs
from analyzer.web.points import RecognisedPoint, join, missing
from analyzer.web.preview import Part, Preview, kept
from analyzer.web.store import File, Upload
from analyzer.web.titles import title

_NS = 10**9
UNKNOWN = frozenset({"not used", "text in no known format", "text"})
USELESS = "Nothing was recognised: no file is a capture (pcap, pcapng or a packet listing) or a known output of the node"
LISTED = 100
"""Points of a file, and files of a point, that are listed."""
POINTS, NOTES = 1000, 200
"""Points and notes that the API tells, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """One file with what has arrived of it."""

    file: File
    received: int
    says: tuple[str, ...]
    """What it is: `capture of eth0`, `conntrack -S`; empty until it was looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One upload."""

    upload: Upload
    title: str
    expires: float
    files: tuple[FileView, ...]
    size: int
    """Bytes that have arrived."""
    points: tuple[RecognisedPoint, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    """What is damaged, or not used, and why."""
    recognising: bool
    """True while more of the files may become known."""
    progress: Progress | None
    """Of the analysis, while it runs and tells."""
    results: tuple[str, ...]
    """Names of the files that can be downloaded."""

    @property
    def busy(self) -> bool:
        """True while this will change by itself."""
        looked = all(view.says or not view.file.complete for view in self.files)
        return self.upload.state in ("queued", "running") or not looked

    @property
    def useless(self) -> bool:
        """True where everything is here, was looked at, and nothing of it can be analysed."""
        looked = self.files and not self.recognising and not self.incomplete
        return bool(looked) and not self.points and all({*view.says} <= UNKNOWN for view in self.files)

    @property
    def announced(self) -> int:
        """Bytes that all files will have, as far as that is known."""
        return sum(view.file.size or view.received for view in self.files)

    @property
    def incomplete(self) -> int:
        """How many files have not arrived whole."""
        return sum(not view.file.complete for view in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One upload in a list: what needs no preview of what was recognised."""

    upload: Upload
    title: str
    expires: float
    files: int
    size: int
    """Bytes that have arrived."""


def row(upload: Upload, jobs: Jobs) -> Row:
    """Gather what a list shows of an upload."""
    folder, files = jobs.store.folder(upload), jobs.store.files(upload)
    return Row(
        upload=upload,
        title=title(upload, files),
        expires=upload.touched + jobs.settings.keep,
        files=len(files),
        size=sum(_received(folder, file) for file in files),
    )


def _received(folder: Folder, file: File) -> int:
    return file.size if file.complete and file.size is not None else folder.received(file.number)


def build(upload: Upload, jobs: Jobs) -> View:
    """Gather what is known of an upload now."""
    folder, files = jobs.store.folder(upload), jobs.store.files(upload)
    known = kept(folder)
    looked = {file.number: known.get(file.number) for file in files}
    told = [preview for preview in looked.values() if preview]
    texts = [text for preview in told for text in preview.texts.values()]
    parts = [{**_mapping(part), "complete": preview.complete} for preview in told for part in preview.parts]
    points = join(parts, upload.roles)
    views = tuple(
        FileView(
            file=file,
            received=_received(folder, file),
            says=_says(preview) if (preview := looked[file.number]) else (),
        )
        for file in files
    )
    return View(
        upload=upload,
        title=title(upload, files),
        expires=upload.touched + jobs.settings.keep,
        files=views,
        size=sum(view.received for view in views),
        points=points,
        missing=tuple(missing(points, texts)),
        notes=tuple(note for preview in told for note in preview.notes),
        recognising=any(not (preview and preview.complete) for preview in looked.values()),
        progress=jobs.progress(upload) if upload.state == "running" else None,
        results=tuple(name for name in RESULTS if (folder.results / name).is_file()),
    )


def _mapping(part: Part) -> dict[str, Any]:
    """Return a part as a mapping; `asdict` copies each field, which for thousands of parts is what a page costs."""
    return {name: getattr(part, name) for name in Part.__slots__}


def _says(preview: Preview) -> tuple[str, ...]:
    """Say what a file is, and what an archive holds."""
    points = list(dict.fromkeys(part.point for part in preview.parts))
    more = [count(len(points) - LISTED, "more point")] if len(points) > LISTED else []
    said = [f"capture of {', '.join([*points[:LISTED], *more])}"] if points else []
    return (*said, *list(dict.fromkeys(preview.texts.values()))[:LISTED]) or ("not used",)


def row_as_json(row: View | Row, base: str) -> dict[str, Any]:
    """Return what the API tells of an upload in a list; *base* is the path before ours."""
    upload = row.upload
    return {
        "id": upload.id,
        "name": row.title,
        "created": utc(upload.created),
        "expires": utc(row.expires),
        "state": upload.state,
        "says": upload.says,
        "incidents": upload.incidents,
        "inconclusive": upload.inconclusive,
        "file_count": row.files if isinstance(row, Row) else len(row.files),
        "size": row.size,
        "owner": upload.owner,
        "tags": list(upload.tags),
        "note": upload.note,
        "url": f"{base}/api/uploads/{upload.id}",
    }


def as_json(view: View, base: str) -> dict[str, Any]:
    """Return what the API tells of an upload; docs: `openapi.json`."""
    upload = view.upload
    told = row_as_json(view, base)
    return {
        **told,
        "roles": upload.roles,
        "files": [
            {
                "number": each.file.number,
                "name": each.file.name,
                "size": each.file.size,
                "received": each.received,
                "complete": each.file.complete,
                "says": list(each.says),
                "url": f"{told['url']}/files/{each.file.number}",
            }
            for each in view.files
        ],
        "points": [
            {
                "name": point.name,
                "role": point.role,
                "files": list(point.files[:LISTED]),
                "packets": point.packets,
                "first": None if point.first is None else iso(point.first),
                "last": None if point.last is None else iso(point.last),
            }
            for point in view.points[:POINTS]
        ],
        "missing": [USELESS, *view.missing] if view.useless else list(view.missing),
        "notes": list(view.notes[:NOTES]),
        "recognising": view.recognising,
        "progress": asdict(view.progress) if view.progress else None,
        "results": {name: f"{told['url']}/{name}" for name in view.results},
        "shared": f"{base}/shared/{upload.share}" if upload.share else None,
        "shared_redacted": bool(upload.share) and upload.redacted,
    }


def utc(seconds: float) -> str:
    """Return seconds since the epoch as `2026-11-20T10:58:16Z`."""
    return iso(int(seconds) * _NS)[:19] + "Z"
