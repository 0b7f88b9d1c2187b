"""The uploads and their jobs in SQLite: what was acknowledged to a client is committed here first.

How much of a file has arrived is not stored: the file's own size says it.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from analyzer.web import database
from analyzer.web.folder import Folder, Outcome

State = Literal["open", "queued", "running", "done", "failed"]

ATTEMPTS = 3
"""How often an analysis is begun anew when the server stopped in the middle of it."""

NOTED = 10_000
"""Entries of the list of what was done; the oldest ones go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One bundle that the server was given, from its first byte to its deletion."""

    id: str
    name: str
    created: float
    """Seconds since the epoch."""
    touched: float
    """When somebody last changed it: retention counts from here."""
    state: State
    queued: float | None
    attempts: int
    """How often its analysis was begun since it was last asked for."""
    says: str
    """The headline of the report, or why there is none."""
    incidents: int | None
    """How many the last analysis that succeeded found."""
    inconclusive: str | None
    """Why that analysis proves nothing; None where it does."""
    roles: dict[str, str]
    """Point to role, where the user said so."""
    share: str | None
    """The secret part of the link that shows the report without the token; None unless it is shared."""
    redacted: bool
    """Whether that link shows the redacted report."""
    owner: str
    """Who began it: the user that the server in front named, or whose token it was; empty where nobody was named."""
    note: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What somebody did."""

    number: int
    at: float
    """Seconds since the epoch."""
    who: str
    """The user; empty for whoever has the server's own token and was not named by a server in front."""
    did: str
    upload: str | None
    name: str
    """What the upload, or the token, was called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of an upload."""

    number: int
    """Within its upload, from 1; never used again, so a late transfer cannot write into another file."""
    name: str
    """As the client called it: a word for people, never a path."""
    size: int | None
    """As the client announced it; None for a form's file that is still coming."""
    complete: bool


class Store:
    """The database; its methods may be called from any thread."""

    def __init__(self, data: Path) -> None:
        """Open, or begin, the database in folder *data*."""
        self.data = data
        self._lock = threading.RLock()
        self._db = database.connect(data / "lostsyn.sqlite3")

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def folder(self, upload: Upload) -> Folder:
        """Return where an upload lies."""
        return Folder(self.data / "uploads" / upload.id)

    def create(self, name: str, owner: str = "") -> Upload:
        """Begin an upload."""
        now, key = time.time(), secrets.token_hex(8)
        Folder(self.data / "uploads" / key).files.mkdir(parents=True)
        with self._change() as db:
            db.execute(
                "INSERT INTO upload (id, name, created, touched, owner) VALUES (?, ?, ?, ?, ?)",
                (key, name, now, now, owner),
            )
        found = self.get(key)
        assert found
        return found

    def get(self, key: str) -> Upload | None:
        """Return an upload by its id."""
        return next(self._uploads("id = ?", key), None)

    def shared(self, secret: str) -> Upload | None:
        """Return the upload whose report is shared under *secret*."""
        return next(self._uploads("share = ?", secret), None)

    def search(
        self, words: str = "", limit: int = 50, after: tuple[float, str] | None = None
    ) -> tuple[list[Upload], int]:
        """Return the latest uploads with each of *words* in what is told of them or a file's name; and how many there are.

        Args:
            words: What to look for.
            limit: Uploads to return, at most.
            after: `created` and `id` of an upload, which need not be there any more: those that follow it in the list.
        """
        terms: list[object] = [f"%{_escaped(word)}%" for word in words.split()[:10]]
        holds = "EXISTS (SELECT 1 FROM haystack WHERE upload = id AND hay LIKE ? ESCAPE '\\')"
        condition = " AND ".join(["1", *[holds] * len(terms)])
        with self._lock:
            (count,) = self._db.execute(
                f"SELECT count(*) FROM upload WHERE {condition}",  # noqa: S608 - placeholders only
                terms,
            ).fetchone()
            if after:
                condition, terms = f"{condition} AND (created, id) < (?, ?)", [*terms, *after]
            order = f"ORDER BY created DESC, id DESC LIMIT {limit:d}"
            return list(self._uploads(f"{condition} {order}", *terms)), count

    def all(self) -> list[Upload]:
        """Return every upload."""
        return list(self._uploads("1"))

    def delete(self, key: str) -> None:
        """Forget an upload; its folder is the caller's to remove."""
        with self._change() as db:
            db.execute("DELETE FROM upload WHERE id = ?", (key,))

    def describe(
        self,
        upload: Upload,
        name: str | None = None,
        note: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        """Change what people say of an upload; None leaves it as it is."""
        with self._change() as db:
            db.execute(
                "UPDATE upload SET name = coalesce(?, name), note = coalesce(?, note), tags = coalesce(?, tags) WHERE id = ?",
                (name, note, None if tags is None else json.dumps(list(tags), ensure_ascii=False), upload.id),
            )
            self._touch(db, upload)

    def files(self, upload: Upload) -> list[File]:
        """Return the files of an upload."""
        with self._lock:
            rows = self._db.execute(
                "SELECT * FROM file WHERE upload = ? ORDER BY number", (upload.id,)
            ).fetchall()
        return [
            File(number=row["number"], name=row["name"], size=row["size"], complete=bool(row["complete"]))
            for row in rows
        ]

    def declare(self, upload: Upload, name: str, size: int | None) -> File:
        """Add a file that is to come; a second one of the same name is put into a folder of its own, `2/eth0.pcap`."""
        with self._change() as db:
            taken = {file.name for file in self.files(upload)}
            free, copy = name, 1
            while free in taken:
                copy += 1
                free = f"{copy}/{name}"
            db.execute("UPDATE upload SET numbered = numbered + 1 WHERE id = ?", (upload.id,))
            (number,) = db.execute(
                "INSERT INTO file (upload, number, name, size) "
                "SELECT id, numbered, ?, ? FROM upload WHERE id = ? RETURNING number",
                (free, size, upload.id),
            ).fetchone()
            self._touch(db, upload)
        return File(number=number, name=free, size=size, complete=False)

    def complete(self, upload: Upload, number: int, size: int) -> bool:
        """Note that all *size* bytes of a file are on the disk; say whether it is still wanted."""
        with self._change() as db:
            changed = db.execute(
                "UPDATE file SET complete = 1, size = ? WHERE upload = ? AND number = ?",
                (size, upload.id, number),
            ).rowcount
            self._touch(db, upload)
        return changed > 0

    def remove(self, upload: Upload, number: int) -> None:
        """Take a file out of an upload."""
        with self._change() as db:
            db.execute("DELETE FROM file WHERE upload = ? AND number = ?", (upload.id, number))
            self._touch(db, upload)

    def queue(self, upload: Upload, roles: dict[str, str]) -> None:
        """Ask for an analysis; one that is queued already keeps its place."""
        with self._change() as db:
            db.execute(
                "UPDATE upload SET state = 'queued', queued = coalesce(queued, ?), attempts = 0, says = '', roles = ? "
                "WHERE id = ? AND state <> 'running'",
                (time.time(), json.dumps(roles), upload.id),
            )
            self._touch(db, upload)

    def claim(self) -> Upload | None:
        """Take the analysis that waits longest."""
        with self._change() as db:
            row = db.execute(
                "UPDATE upload SET state = 'running', attempts = attempts + 1 WHERE id = "
                "(SELECT id FROM upload WHERE state = 'queued' ORDER BY queued, created LIMIT 1) RETURNING id"
            ).fetchone()
        return self.get(row["id"]) if row else None

    def release(self, upload: Upload) -> None:
        """Put an analysis back that the server's orderly stop interrupted."""
        with self._change() as db:
            db.execute(
                "UPDATE upload SET state = 'queued', attempts = attempts - 1 WHERE id = ? AND state = 'running'",
                (upload.id,),
            )

    def finish(self, upload: Upload, outcome: Outcome) -> None:
        """Note how an analysis succeeded."""
        with self._change() as db:
            db.execute(
                "UPDATE upload SET state = 'done', queued = NULL, says = :says, incidents = :incidents, "
                "inconclusive = :inconclusive WHERE id = :id",
                {**asdict(outcome), "id": upload.id},
            )

    def fail(self, upload: Upload, says: str) -> None:
        """Note why an analysis failed; the results of the one before stay."""
        with self._change() as db:
            db.execute(
                "UPDATE upload SET state = 'failed', queued = NULL, says = ? WHERE id = ?", (says, upload.id)
            )

    def recover(self) -> None:
        """Queue again what was running when the server stopped; what stopped it three times is given up."""
        with self._change() as db:
            db.execute(
                "UPDATE upload SET state = 'failed', queued = NULL, says = ? WHERE state = 'running' AND attempts >= ?",
                (
                    f"The server stopped {ATTEMPTS} times during this analysis, so it was not restarted. The files are kept.",
                    ATTEMPTS,
                ),
            )
            db.execute("UPDATE upload SET state = 'queued' WHERE state = 'running'")

    def share(self, upload: Upload, shared: bool, redacted: bool = False) -> str | None:
        """Make the link that shows the report without the token, or withdraw it."""
        secret = (upload.share or secrets.token_urlsafe(24)) if shared else None
        with self._change() as db:
            db.execute(
                "UPDATE upload SET share = ?, redacted = ? WHERE id = ?", (secret, redacted, upload.id)
            )
        return secret

    def states(self) -> dict[str, int]:
        """Return how many uploads are in each state."""
        with self._lock:
            rows = self._db.execute("SELECT state, count(*) FROM upload GROUP BY state").fetchall()
        return {row["state"]: row[1] for row in rows}

    def note(self, who: str, did: str, name: str, upload: str | None = None) -> None:
        """Note what somebody did."""
        with self._change() as db:
            db.execute(
                "INSERT INTO deed (at, who, did, upload, name) VALUES (?, ?, ?, ?, ?)",
                (time.time(), who, did, upload, name),
            )
            db.execute("DELETE FROM deed WHERE number <= (SELECT max(number) FROM deed) - ?", (NOTED,))

    def deeds(self, limit: int, before: int | None = None) -> list[Deed]:
        """Return what was done, the latest first; of that only what was done before the deed of that number."""
        with self._lock:
            rows = self._db.execute(
                "SELECT * FROM deed WHERE number < ? ORDER BY number DESC LIMIT ?",
                (1 << 62 if before is None else before, limit),
            ).fetchall()
        return [Deed(**dict(row)) for row in rows]

    def add_token(self, name: str, digest: str) -> bool:
        """Let whoever has the token of that digest in, as *name*; say whether nobody was called so."""
        with self._change() as db:
            added = "INSERT OR IGNORE INTO token VALUES (?, ?, ?)"
            return bool(db.execute(added, (name, digest, time.time())).rowcount)

    def remove_token(self, name: str) -> bool:
        """Let nobody in as *name* any more; say whether somebody was called so."""
        with self._change() as db:
            return bool(db.execute("DELETE FROM token WHERE name = ?", (name,)).rowcount)

    def tokens(self) -> dict[str, tuple[str, float]]:
        """Return the users' tokens: name to digest and when it was made."""
        with self._lock:
            rows = self._db.execute("SELECT name, digest, created FROM token ORDER BY name").fetchall()
        return {name: (digest, created) for name, digest, created in rows}

    def untouched(self, since: float) -> list[Upload]:
        """Return the uploads that nobody touched since a time, those being analysed left out."""
        return list(self._uploads("touched < ? AND state NOT IN ('queued', 'running')", since))

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Change the database: all of it or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _touch(self, db: sqlite3.Connection, upload: Upload) -> None:
        db.execute("UPDATE upload SET touched = ? WHERE id = ?", (time.time(), upload.id))

    def _uploads(self, condition: str, *values: Any) -> Iterator[Upload]:
        query = f"SELECT * FROM upload WHERE {condition}"  # noqa: S608 - conditions are this file's own
        with self._lock, closing(self._db.execute(query, values)) as rows:
            found = [dict(row) for row in rows]
        for row in found:
            del row["numbered"]
            told = {"roles": json.loads(row["roles"]), "tags": tuple(json.loads(row["tags"]))}
            yield Upload(**{**row, **told, "redacted": bool(row["redacted"])})


def _escaped(word: str) -> str:
    """Take a word literally that LIKE would read."""
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
