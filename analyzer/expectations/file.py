"""The file of expectations: TOML with one table `expect` per bundle, as in the fixtures' `case.toml`."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from analyzer.errors import UnusableInput
from analyzer.expectations import Destination, Expectation, Range, Rule, plain_exit
from analyzer.incident import causes
from analyzer.incident.model import Counts, Kind
from analyzer.result.analysis import Result

SIZE = 4 << 20
"""Bytes of a file, at most."""
_HEADING = re.compile(r"^\s*\[{1,2}\s*expect\s*\]{1,2}", re.MULTILINE)
_COUNTS = tuple(f.name for f in fields(Counts))

Key = tuple[str, ...]
"""What a bundle is made of: its paths, relative to the file's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """One file, read."""

    path: Path
    content: dict[str, Any]
    """As TOML has it; what `update` begins with."""
    bundles: dict[Key, Expectation]

    def of(self, paths: Sequence[str]) -> Expectation:
        """What the bundle made of *paths* is expected to hold; nothing, if the file does not name it."""
        return self.bundles.get(key(paths, self.path)) or Expectation(source=str(self.path))

    def names(self, paths: Sequence[str]) -> bool:
        """Whether the file has a table for the bundle made of *paths*."""
        return key(paths, self.path) in self.bundles

    def besides(self, checked: Iterable[Sequence[str]]) -> list[Key]:
        """The bundles of the file that are not among *checked*, their paths as seen from here."""
        absent = self.bundles.keys() - {key(paths, self.path) for paths in checked}
        return sorted(tuple(str(self.path.parent / path) for path in paths) for paths in absent)


def key(paths: Sequence[str], file: Path) -> Key:
    """Name the bundle made of *paths* as *file* does."""
    folder = os.path.abspath(file.parent)  # noqa: PTH100 - links stay what they are called
    return tuple(sorted(Path(os.path.relpath(path, folder)).as_posix() for path in paths))


def read(path: Path, *, missing_ok: bool = False) -> Expectations:
    """Read a file of expectations.

    Args:
        path: Of the file.
        missing_ok: A file that is not there is one that expects nothing.

    Raises:
        UnusableInput: It cannot be read, is no TOML, or holds what is no expectation.
    """
    try:
        with path.open("rb") as file:
            data = file.read(SIZE + 1)
    except FileNotFoundError:
        if missing_ok:
            return Expectations(path=path, content={}, bundles={})
        raise UnusableInput(f"{path}: no such file; `--update` writes it") from None
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > SIZE:
        raise UnusableInput(f"{path}: has more than {SIZE} bytes; too large for a file of expectations")
    import tomllib

    try:
        text = data.decode()
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableInput(f"{path}: is not TOML: {error}") from None
    return Expectations(path=path, content=content, bundles=_Reader(path, text).bundles(content))


def update(known: Expectations, found: Sequence[tuple[Sequence[str], Result]]) -> str:
    """Return the file's text with each of these bundles expected to hold just what was found in it.

    The other bundles and tables stay, comments do not: the caller gives the bundles that are not as expected, and writes
    nothing where there are none.
    """
    import tomli_w

    told = known.content.get("expect", [])
    tables = [told] if isinstance(told, dict) else list(told)
    places = {_key(table.get("bundle", "."), known.path): at for at, table in enumerate(tables)}
    for paths, analysis in found:
        name = key(paths, known.path)
        at = places.setdefault(name, len(tables))
        if at == len(tables):
            tables.append({} if name == (".",) else {"bundle": name[0] if len(name) == 1 else list(name)})
        tables[at] = _described(analysis, tables[at])
    one = len(tables) == 1 and (isinstance(told, dict) or "bundle" not in tables[0])
    expect = tables[0] if one else tables
    return tomli_w.dumps({**known.content, "expect": expect}, multiline_strings=True)


def _described(analysis: Result, before: dict[str, Any]) -> dict[str, Any]:
    """The table that expects just what was found, of the same bundle, with the counts that it compared before."""
    found = Counter((i.kind, i.cause, i.gap) for i in analysis.incidents for _ in i.findings)
    table = {name: before[name] for name in ("bundle",) if name in before}
    table["exit"] = plain_exit(analysis)
    if "counts" in before:
        table["counts"] = {name: getattr(analysis.counts, name) for name in before["counts"]}
    # A rule without a gap fits any: it comes after those that name theirs.
    incidents = [
        {"kind": kind, "cause": cause, **({"gap": list(gap)} if gap else {}), "findings": number}
        for (kind, cause, gap), number in sorted(found.items(), key=lambda i: (i[0][2] is None, i[0]))
    ]
    return table | ({"incidents": incidents} if incidents else {})


def _key(bundle: str | list[str], file: Path) -> Key:
    """Give a table's `bundle` the form that `key` gives paths."""
    return key([str(file.parent / path) for path in ([bundle] if isinstance(bundle, str) else bundle)], file)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns the tables of one file into expectations, and says where they are none."""

    path: Path
    text: str

    def bundles(self, content: dict[str, Any]) -> dict[Key, Expectation]:
        self._table(content, "the file", {"case", "expect"})
        told = content.get("expect")
        if not isinstance(told, dict | list) or (isinstance(told, list) and not told):
            raise self._wrong("the file", "has no table [expect]")
        tables = [("expect", told)] if isinstance(told, dict) else self._tables(told, "expect")
        lines = list(self._headings())
        if len(lines) != len(tables):  # tables can be written in other ways, too
            lines = [1] * len(tables)
        bundles: dict[Key, Expectation] = {}
        for (where, table), line in zip(tables, lines, strict=True):
            self._table(table, where, {"bundle", "exit", "counts", "incidents"})
            name = self._name(table.get("bundle", "."), where)
            if name in bundles:
                raise self._wrong(where, f"is a second table for {', '.join(name)!r}")
            bundles[name] = self._expectation(table, where, line)
        return bundles

    def _headings(self) -> Iterator[int]:
        """Yield the line of each table, going through the text once."""
        line, at = 1, 0
        for match in _HEADING.finditer(self.text):
            line += self.text.count("\n", at, match.end())
            at = match.end()
            yield line

    def _expectation(self, table: dict[str, Any], where: str, line: int) -> Expectation:
        counts = self._table(table.get("counts", {}), f"{where}.counts", set(_COUNTS))
        return Expectation(
            exit=self._one_of(table, where, "exit", (0, 1, 2)),
            counts={name: self._range(value, f"{where}.counts.{name}") for name, value in counts.items()},
            rules=tuple(
                self._rule(rule, place)
                for place, rule in self._tables(table.get("incidents", []), f"{where}.incidents")
            ),
            source=str(self.path),
            line=line,
        )

    def _rule(self, table: dict[str, Any], where: str) -> Rule:
        self._table(table, where, {"kind", "cause", "gap", "destination", "findings", "required"})
        gap, destination = table.get("gap"), None
        if gap is not None and not (_strings(gap) and len(gap) == 2):
            raise self._wrong(f"{where}.gap", "is not two names, of the inner and of the outer point")
        if "destination" in table:
            try:
                destination = Destination.of(str(table["destination"]))
            except ValueError as error:
                raise self._wrong(f"{where}.destination", f"is no ADDRESS:PORT or NETWORK: {error}") from None
        return Rule(
            kind=self._one_of(table, where, "kind", get_args(Kind)),
            cause=self._one_of(table, where, "cause", causes.CODES),
            gap=tuple(gap) if gap else None,
            destination=destination,
            findings=self._range(table.get("findings", {"min": 1}), f"{where}.findings"),
            required=self._one_of(table, where, "required", (True, False)) is not False,
        )

    def _range(self, value: Any, where: str) -> Range:
        ends = value if isinstance(value, dict) else {"min": value, "max": value}
        self._table(ends, where, {"min", "max"})
        if any(type(end) is not int or end < 0 for end in ends.values()):
            raise self._wrong(where, "is neither a number nor { min = NUMBER, max = NUMBER }")
        return Range(least=ends.get("min", 0), most=ends.get("max"))

    def _name(self, bundle: Any, where: str) -> Key:
        if not (isinstance(bundle, str) or (_strings(bundle) and bundle)):
            raise self._wrong(f"{where}.bundle", "is neither a path nor a list of paths")
        return _key(bundle, self.path)

    def _one_of(self, table: dict[str, Any], where: str, name: str, known: Collection[Any]) -> Any:
        value = table.get(name)
        # True is 1 to Python, and a list cannot be asked for.
        if value is not None and not any(type(value) is type(k) and value == k for k in known):
            among = ", ".join(str(k).lower() if isinstance(k, bool) else str(k) for k in known)
            raise self._wrong(f"{where}.{name}", f"is {value!r}, none of {among}")
        return value

    def _tables(self, value: Any, where: str) -> list[tuple[str, dict[str, Any]]]:
        if not isinstance(value, list):
            raise self._wrong(where, "is not a list of tables")
        return [(f"{where}[{at}]", table) for at, table in enumerate(value, 1)]

    def _table(self, value: Any, where: str, known: set[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(where, "is not a table")
        if strange := sorted(value.keys() - known):
            raise self._wrong(where, f"knows no {strange[0]!r}; it knows {', '.join(sorted(known))}")
        return value

    def _wrong(self, where: str, what: str) -> UnusableInput:
        return UnusableInput(f"{self.path}: {where} {what}")


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
