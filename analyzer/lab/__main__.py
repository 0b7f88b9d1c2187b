"""`python3 -m analyzer.lab`: the laboratory on a machine that has nothing but Python's standard library."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from analyzer.errors import LostsynError
from analyzer.lab.experiment import RECORDERS, conduct
from analyzer.lab.scenarios import SCENARIOS


def main() -> int:
    """Parse the arguments and conduct one experiment."""
    parser = argparse.ArgumentParser(prog="python3 -m analyzer.lab", description=__doc__)
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--recorder", choices=RECORDERS, default="points")
    chosen = parser.parse_args()
    try:
        conduct(chosen.scenario, chosen.output, rounds=chosen.rounds, recorder=chosen.recorder)
    except LostsynError as error:
        sys.stderr.write(f"lostsyn: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
