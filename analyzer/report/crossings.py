"""The table of crossings as a notebook shows it: with the ladder of its first row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pandas as pd

from analyzer.report.notebook import Drawing


class Crossings(pd.DataFrame):
    """The table of crossings, or a part of it, which a notebook shows with the ladder of its first one."""

    _metadata: ClassVar[list[str]] = ["ladder"]  # what pandas hands on to parts and copies
    ladder: Callable[[pd.Series[Any]], Drawing]

    @property
    def _constructor(self) -> type[Crossings]:
        return Crossings

    def _repr_html_(self) -> str:
        table: str = super()._repr_html_()  # type: ignore[misc]
        ladder = getattr(self, "ladder", None)  # what was made of several tables has none
        if ladder is None or not len(self) or not {"inner_point", "inner_flow"} <= set(self.columns):
            return table
        drawn: str = ladder(self.iloc[0]).html
        return table + drawn
