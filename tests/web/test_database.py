"""The database's tables."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from analyzer.web.database import FIRST, connect
from analyzer.web.store import Store


def test_it_is_made_once(tmp_path: Path) -> None:
    """Opened again it is the same; each commit is synced to a write-ahead log."""
    for _ in range(2):
        db = connect(tmp_path / "x")
        found = [
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "user_version")
        ]
        db.close()

        assert ["wal", 2, 2] == found


def test_a_database_of_the_version_before(tmp_path: Path) -> None:
    """What it holds is there, files under the numbers that they are stored as, and new ones get others."""
    db = sqlite3.connect(tmp_path / "lostsyn.sqlite3")
    db.executescript(FIRST)
    db.execute("INSERT INTO upload (id, name, created, touched) VALUES ('ab', 'old', 1, 1)")
    db.execute("INSERT INTO file (number, upload, name, size) VALUES (7, 'ab', 'eth0.pcap', 5)")
    db.execute("CREATE VIEW haystack (upload, hay) AS SELECT upload, name FROM file")
    db.commit()
    db.close()
    for _ in range(2):
        store = Store(tmp_path)
        (upload,), _ = store.search("eth0")
        assert ("old", "", ()) == (upload.name, upload.owner, upload.tags)
        store.declare(upload, "more", 1)
        store.close()
    store = Store(tmp_path)

    assert [7, 8, 9] == [file.number for file in store.files(upload)]
    store.close()
