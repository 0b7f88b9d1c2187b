"""The confined process: `python -m analyzer.web TASK FOLDER`, started by `analyzer.web.confined` alone."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from analyzer.errors import LostsynError, UnusableInput
from analyzer.web import confined, sandbox
from analyzer.web.folder import write_json

TASKS = {"recognise": "analyzer.web.recognition", "analyse": "analyzer.web.analysing"}
"""Task to the module whose `work(order, folder)` does it."""


def main(task: str, folder: Path) -> int:
    """Do what standard input orders; return the exit status."""
    told = json.loads(sys.stdin.read())
    confined.enter(confined.Limits(**told["limits"]), told["server"])
    order = told["order"]
    files = [Path(file["path"]) for file in (*order["files"], *order.get("others", ()))]
    sandbox.enter(folder.resolve().parents[2], folder, files)
    try:
        importlib.import_module(TASKS[task]).work(order, folder)
    except MemoryError:
        return confined.TOO_MUCH_MEMORY
    except LostsynError as error:
        # What to type on a command line is of no use here.
        reason = error.reason if isinstance(error, UnusableInput) else str(error)
        write_json(folder / confined.REFUSED, {"says": f"{reason.removesuffix('.')}."})
        return 1
    except OSError as error:
        write_json(folder / confined.REFUSED, {"says": f"Writing to disk failed: {error.strerror or error}."})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
