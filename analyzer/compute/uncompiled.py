"""What the hot loops need of the `cython` module when they run uncompiled and Cython is not installed.

Cython is a build-time dependency only. Compiled, the loops never import this; with Cython installed they
take its own shadow module; else this stand-in, which gives every C type as `int` and every decorator as
the identity.
"""

from __future__ import annotations

from typing import Any


class _CType(int):
    """A C type that can be subscripted (`cython.uint[::1]`) and called (as a cast)."""

    def __getitem__(self, _: object) -> _CType:
        return self

    def __call__(self, value: Any = 0) -> Any:
        return value


class _Gil:
    """`cython.gil` and `cython.nogil`: context managers, and the latter a decorator, that do nothing."""

    def __call__(self, function: Any) -> Any:
        return function

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class _Cython:
    compiled = False
    gil = nogil = _Gil()
    uchar = short = ushort = int = uint = long = longlong = ulonglong = _CType()
    Py_ssize_t = bint = void = _CType()
    const = _CType()

    @staticmethod
    def cfunc(function: Any) -> Any:
        return function

    inline = ccall = cclass = cfunc

    @staticmethod
    def exceptval(*_: object, **__: object) -> Any:
        return lambda function: function

    boundscheck = exceptval

    @staticmethod
    def declare(_: object, value: Any = None) -> Any:
        return value

    @staticmethod
    def fused_type(*_: object) -> _CType:
        return _CType()

    @staticmethod
    def cast(_: object, value: Any) -> Any:
        return value


cython = _Cython()
