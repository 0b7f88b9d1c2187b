"""The tables as Parquet files: one per table, with the types that `analyzer.result.schema` gives their columns.

A column's type never depends on what a bundle holds, so that the files of many bundles read as one table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.errors import LostsynError, MissingTool
from analyzer.result.saving import saving
from analyzer.result.schema import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    import pyarrow as pa

    from analyzer.result.analysis import Result


def write(analysis: Result, folder: Path | str) -> None:
    """Write every table of *analysis* into *folder*, which is made if need be.

    Points are written one after the other: memory holds the packets of one.

    Raises:
        MissingTool: pyarrow is not installed.
        LostsynError: The folder or a file cannot be written.
    """
    try:
        import pyarrow.parquet  # noqa: F401 - before anything is made
    except ModuleNotFoundError:
        raise MissingTool("Parquet files need pyarrow: pip install 'lostsyn[parquet]'") from None
    folder = Path(folder)
    packets = (analysis.packets(point.name) for point in analysis.capture_points)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, "packets", packets)
        for name in ("points", "flows", "crossings", "passages", "connections", "findings"):
            _write(folder, name, [getattr(analysis, name)])
    except OSError as error:
        if isinstance(error, LostsynError):
            raise
        raise LostsynError(f"{folder}: cannot be written: {error.strerror or error}") from None


def schema(name: str) -> pa.Schema:
    """Return the schema of a table's file; fields carry their meaning, unit and other names as metadata."""
    import pyarrow as pa

    types = {
        "category": pa.dictionary(pa.int32(), pa.string()),
        "str": pa.string(),
        "bool": pa.bool_(),
        "Int64": pa.int64(),
        "datetime64[ns, UTC]": pa.timestamp("ns", "UTC"),
    }
    fields = []
    for column, said in COLUMNS[name].items():
        told = {key: getattr(said, key) for key in ("meaning", "unit", "wireshark", "zeek", "ecs")}
        fields.append(
            pa.field(
                column,
                types.get(said.dtype) or pa.from_numpy_dtype(said.dtype),
                metadata={key: text for key, text in told.items() if text},
            )
        )
    return pa.schema(fields, metadata={"lostsyn.table": name})


def _write(folder: Path, name: str, tables: Iterable[pd.DataFrame]) -> None:
    """Write *tables*, one row group or more each, into one file."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = schema(name)
    with (
        saving(folder / f"{name}.parquet") as file,
        parquet.ParquetWriter(file, columns, compression="zstd") as writer,
    ):
        for table in tables:
            made = pa.Table.from_pandas(table, columns, preserve_index=False)
            writer.write_table(made.replace_schema_metadata(columns.metadata))
