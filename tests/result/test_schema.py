"""The columns' documentation: complete, and in words that the tools named know."""

from __future__ import annotations

import subprocess

import numpy as np
import pandas as pd
import pytest

from analyzer.result.schema import COLUMNS

EVERY = [(table, name) for table, columns in COLUMNS.items() for name in columns]


@pytest.mark.parametrize(("table", "name"), EVERY)
def test_every_column_is_described(table: str, name: str) -> None:
    """A dtype that pandas knows, a meaning that fits into a table of Markdown, a unit for nothing but numbers."""
    column = COLUMNS[table][name]

    assert pd.api.types.pandas_dtype(column.dtype) is not None
    assert column.meaning
    assert not column.meaning.endswith(".")
    assert not set("|\n") & set(column.meaning)
    if column.unit:
        assert isinstance(
            pd.api.types.pandas_dtype(column.dtype), np.dtype | pd.Int64Dtype | pd.DatetimeTZDtype
        )


@pytest.mark.tshark
def test_wireshark_knows_its_fields() -> None:
    """Each display filter field that is named exists."""
    printed = subprocess.run(["tshark", "-G", "fields"], capture_output=True, text=True, check=True).stdout
    known = {line.split("\t")[2] for line in printed.splitlines() if line.startswith("F\t")}
    named = {
        field
        for columns in COLUMNS.values()
        for column in columns.values()
        for field in column.wireshark.split(", ")
        if field
    }

    assert set() == named - known
