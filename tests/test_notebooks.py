"""The notebooks run from top to bottom, and show what they promise; they are kept without outputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
JUPYTER_EXECUTE = (sys.executable, "-c", "from nbclient.cli import main; main()")
SHOWS = {
    # Name -> what its outputs hold: a type, and a part of its text.
    "first-look": [
        ("text/html", "6 SYNs vanished between cni0 and eth0"),
        ("text/html", "Evidence"),
        ("text/html", "snat-port-race"),
        ("image/png", ""),
    ],
    "across-nat": [
        ("text/html", 'class="drawing ladder"'),
        ("text/plain", "outer_community_id    1:"),
        ("text/html", "CExample1"),
        ("image/png", ""),
    ],
    "own-question": [
        ("text/plain", "snat-race/packets.parquet"),
        ("text/html", "longest_wait_s"),
        ("text/html", "shares_port"),
        ("text/html", "kept_port"),
    ],
}


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, nbformat.NotebookNode]:
    """Every notebook after `jupyter execute`, each in a kernel of its own, all at once."""
    folder = tmp_path_factory.mktemp("notebooks")
    homes = dict.fromkeys(("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"), str(folder))
    running = {
        path: subprocess.Popen(
            [*JUPYTER_EXECUTE, "--timeout=120", f"--output={folder / path.name}", str(path)],
            env=os.environ | homes,
            stderr=subprocess.PIPE,
            text=True,
        )
        for path in NOTEBOOKS
    }
    for path, process in running.items():
        _, said = process.communicate()
        assert 0 == process.returncode, f"{path.name}: {said}"
    return {path.stem: nbformat.read(folder / path.name, as_version=4) for path in NOTEBOOKS}


@pytest.mark.parametrize("name", SHOWS)
def test_runs(name: str, executed: dict[str, nbformat.NotebookNode]) -> None:
    """No cell fails or writes to stderr, each query has an answer, and what the text speaks of is there."""
    outputs = [out for cell in executed[name].cells for out in cell.get("outputs", [])]
    shown = [out["data"] for out in outputs if "data" in out]

    assert [] == [out for out in outputs if out.get("name") == "stderr"]
    assert [] == [data for data in shown if data.get("text/plain", "").startswith("Empty DataFrame")]
    for kind, text in SHOWS[name]:
        assert any(text in data.get(kind, "\0") for data in shown), (kind, text)


def test_every_notebook_is_tested() -> None:
    """What is in notebooks/ is what runs here."""
    assert sorted(SHOWS) == sorted(path.stem for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_without_outputs(path: Path) -> None:
    """A notebook is valid, begins with its title, and holds neither outputs nor counts of its last run."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)

    assert notebook.cells[0].source.startswith("# ")
    for cell in notebook.cells:
        assert cell.cell_type == "markdown" or ([], None) == (cell.outputs, cell.execution_count)
