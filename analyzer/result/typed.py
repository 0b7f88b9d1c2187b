"""JSON that somebody else wrote, to dataclasses: of the declared types, in range, or refused.

`json.loads` takes numbers of any length, NaN, half surrogates, and keys that nobody asked for; each of them fails later,
where nobody expects it: in a database, in a response that cannot be encoded, in a path.
"""

from __future__ import annotations

import functools
import json
import types
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_INT64 = range(-(1 << 63), 1 << 63)


def read(kind: type[T], text: str | bytes) -> T:
    """Return the *kind*, a dataclass, that a JSON text describes.

    Its fields are `int` (64 bits), `float`, `bool`, `str`, None, literals, unions, `tuple[X, ...]`, `dict[str, X]` and
    dataclasses.

    Raises:
        ValueError: It is no JSON, or not of that form; the message says which field.
    """
    try:
        found = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    made: T = _value(kind, found, kind.__name__)
    return made


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _value(kind: Any, found: Any, where: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(found, dict):
        return _object(kind, found, where)
    if origin is tuple and isinstance(found, list):
        return tuple(_value(inner[0], one, where) for one in found)
    if origin is dict and isinstance(found, dict):
        return {_value(str, key, where): _value(inner[1], one, where) for key, one in found.items()}
    if origin in (Union, types.UnionType):
        for one in inner:
            try:
                return _value(one, found, where)
            except ValueError:
                continue
    elif origin is Literal:
        if any(found == one and type(found) is type(one) for one in inner):
            return found
    elif _is_plain(kind, found):
        return found
    raise ValueError(f"{where} is not what it should be")


def _object(kind: Any, found: dict[str, Any], where: str) -> Any:
    hints, known = _fields(kind)
    if unknown := found.keys() - hints.keys():
        raise ValueError(f"{where} has an unknown key, {min(unknown)[:40]!r}")
    if missing := {name for name, needed in known.items() if needed} - found.keys():
        raise ValueError(f"{where} lacks {min(missing)!r}")
    return kind(**{name: _value(hints[name], one, f"{where}.{name}") for name, one in found.items()})


def _is_plain(kind: Any, found: Any) -> bool:
    if type(found) is not kind and not (kind is type(None) and found is None):
        return False
    if kind is int:
        return found in _INT64
    if kind is str:
        return not any("\ud800" <= letter <= "\udfff" for letter in found) if not found.isascii() else True
    return kind in (float, bool, type(None))


@functools.cache
def _fields(kind: Any) -> tuple[dict[str, Any], dict[str, bool]]:
    """Types of a dataclass's fields, and whether each is needed."""
    needed = {
        field.name: field.default is MISSING and field.default_factory is MISSING for field in fields(kind)
    }
    return get_type_hints(kind), needed
