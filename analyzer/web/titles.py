"""What an upload is called."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.report.words import count
from analyzer.web.store import File, Upload


def title(upload: Upload, files: Sequence[File]) -> str:
    """Return what to call an upload: its name, else what its files have in common."""
    if upload.name or not files:
        return upload.name or "Empty upload"
    folders = {file.name.partition("/")[0] for file in files}
    if len(folders) == 1:
        return folders.pop()
    return f"{files[0].name} and {count(len(files) - 1, 'more file')}"
