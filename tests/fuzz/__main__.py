"""`python -m tests.fuzz`: as many cases as wanted, and a table of what came of them; finds are left as files."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path


def main() -> int:
    """Run, and return 1 if there was any find."""
    # What libFuzzer is to follow has to be instrumented as it is imported.
    with _instrumented() if "--atheris" in sys.argv else nullcontext():
        from tests.fuzz.running import campaign, case, fails
        from tests.fuzz.targets import TARGETS
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET", help=", ".join(TARGETS)
    )
    parser.add_argument("--cases", type=int, default=10**9, help="of each target, at most")
    parser.add_argument("--seconds", type=float, default=30, help="for each target, at most")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first case: the same number is the same case"
    )
    parser.add_argument("--finds", type=Path, default=Path("build/fuzz"), help="folder for what failed")
    parser.add_argument(
        "--show", type=int, metavar="NUMBER", help="run one case of one target, and raise what it raises"
    )
    parser.add_argument(
        "--atheris",
        action="store_true",
        help="let libFuzzer choose, by coverage (pip install atheris); one TARGET",
    )
    given = parser.parse_args()
    names = given.targets or list(TARGETS)
    if given.atheris:
        return _atheris(names[0], given.seconds)
    if given.show is not None:
        TARGETS[names[0]].run(case(names[0], given.show))
        return 0
    print(f"{'target':24}{'cases':>10}{'finds':>7}{'s':>7}{'ms/KB, worst':>14}{'MB':>7}")
    total = finds = 0
    for name in names:
        found = campaign(name, given.cases, given.first, given.seconds)
        total, finds = total + found.cases, finds + len(found.finds)
        print(
            f"{name:24}{found.cases:>10,}{len(found.finds):>7}{found.seconds:>7.1f}{found.slowest:>14.1f}{found.memory:>7}",
            flush=True,
        )
        for number, (where, (case_number, data)) in enumerate(found.finds.items(), 1):
            given.finds.mkdir(parents=True, exist_ok=True)
            path = given.finds / f"{name}-{number}"
            path.write_bytes(data)
            print(f"    {where}, case {case_number}: {fails(TARGETS[name], data)}; {path}", flush=True)
    print(f"{'all':24}{total:>10,}{finds:>7}")
    return int(finds > 0)


def _instrumented() -> AbstractContextManager[None]:
    import atheris

    made: AbstractContextManager[None] = atheris.instrument_imports(include=["analyzer"])
    return made


def _atheris(name: str, seconds: float) -> int:
    """Let coverage of the Python code guide what is mutated; the mutations are ours and libFuzzer's in turn."""
    import random

    import atheris

    from tests.fuzz.mutate import mutate
    from tests.fuzz.running import fails
    from tests.fuzz.targets import TARGETS

    target, seeds = TARGETS[name], TARGETS[name].seeds()
    corpus = Path("build/fuzz/corpus") / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def one(data: bytes) -> None:
        if where := fails(target, data):
            raise AssertionError(where)

    def ours(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        return atheris.Mutate(data, most) if rng.random() < 0.3 else mutate(data, seeds, rng, most)

    atheris.Setup(
        [sys.argv[0], str(corpus), f"-max_total_time={int(seconds)}"],
        one,
        custom_mutator=ours,
        internal_libfuzzer=True,
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
