"""What an upload is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.web.store import File, Store, Upload
from analyzer.web.titles import title


def _files(*names: str) -> list[File]:
    return [File(number=number, name=name, size=1, complete=True) for number, name in enumerate(names)]


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    """Return an upload that nobody named."""
    store = Store(tmp_path)
    made = store.create("")
    store.close()
    return made


@pytest.mark.parametrize(
    ("names", "called"),
    [
        ([], "Empty upload"),
        (["eth0.pcap"], "eth0.pcap"),
        (["node7/a", "node7/b"], "node7"),
        (["a", "b"], "a and 1 more file"),
        (["a", "b/c", "d"], "a and 2 more files"),
    ],
)
def test_titles(upload: Upload, names: list[str], called: str) -> None:
    """An upload without a name is called by what its files have in common; one with a name by that."""
    assert called == title(upload, _files(*names))
    assert "x" == title(replace(upload, name="x"), _files(*names))
