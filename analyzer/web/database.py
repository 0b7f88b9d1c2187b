"""The database's tables, and how one of a version before becomes one of this."""

from __future__ import annotations

import sqlite3
from pathlib import Path

FIRST = """
CREATE TABLE IF NOT EXISTS upload (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, created REAL NOT NULL, touched REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'open', queued REAL, attempts INTEGER NOT NULL DEFAULT 0,
    says TEXT NOT NULL DEFAULT '', incidents INTEGER, inconclusive TEXT, roles TEXT NOT NULL DEFAULT '{}', share TEXT UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS file (
    number INTEGER PRIMARY KEY AUTOINCREMENT, upload TEXT NOT NULL REFERENCES upload (id) ON DELETE CASCADE,
    name TEXT NOT NULL, size INTEGER, complete INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS upload_created ON upload (created);
CREATE INDEX IF NOT EXISTS file_upload ON file (upload);
"""
SECOND = """
ALTER TABLE upload ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE upload ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE upload ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE upload ADD COLUMN redacted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE upload ADD COLUMN numbered INTEGER NOT NULL DEFAULT 0;
UPDATE upload SET numbered = (SELECT coalesce(max(number), 0) FROM file WHERE upload = id);
CREATE TABLE numbered_file (
    upload TEXT NOT NULL REFERENCES upload (id) ON DELETE CASCADE, number INTEGER NOT NULL,
    name TEXT NOT NULL, size INTEGER, complete INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (upload, number)
) STRICT;
INSERT INTO numbered_file SELECT upload, number, name, size, complete FROM file;
DROP VIEW IF EXISTS haystack;
DROP TABLE file;
ALTER TABLE numbered_file RENAME TO file;
CREATE VIEW haystack (upload, hay) AS
    SELECT id, name FROM upload UNION ALL SELECT id, says FROM upload UNION ALL SELECT id, note FROM upload
    UNION ALL SELECT id, owner FROM upload UNION ALL SELECT id, tags FROM upload UNION ALL SELECT upload, name FROM file;
CREATE TABLE token (name TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, created REAL NOT NULL) STRICT;
CREATE TABLE deed (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, who TEXT NOT NULL, did TEXT NOT NULL,
    upload TEXT, name TEXT NOT NULL
) STRICT;
"""
_VERSIONS = (FIRST, SECOND)
"""What makes each version of the database of the one before."""


def connect(path: Path) -> sqlite3.Connection:
    """Open, or begin, a database: with a write-ahead log, every commit synced, for several threads."""
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    db.row_factory = sqlite3.Row
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        db.execute(f"PRAGMA {pragma}")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    for number, steps in enumerate(_VERSIONS[version:], version + 1):
        db.executescript(f"BEGIN; {steps} PRAGMA user_version = {number}; COMMIT;")
    return db
