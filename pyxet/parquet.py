"""`to_parquet`: write tables as Parquet files whose later versions share most of their content.

It needs pyarrow, and imports it when it is called.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyxet._given import place_of
from pyxet.errors import AlreadyExistsError, ConfigError
from pyxet.fs import XetFS
from pyxet.options import public
from pyxet.types import Commit, FilePointer, IfMatch, WriteMode

_CHUNKING: Final = "use_content_defined_chunking"
# Names of the files that one write puts into a partition. They are the same each time, so that a new version replaces the last.
_NAMES: Final = "part-{i}.parquet"


@public(further=True)
def to_parquet(
    data: Any,
    url: str | os.PathLike[str],
    *,
    partition_cols: Sequence[str] | None = None,
    index: bool | None = None,
    message: str | None = None,
    parent_commit: str | None = None,
    mode: WriteMode = "overwrite",
    if_match: IfMatch | None = None,
    filesystem: XetFS | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Write a table as one Parquet file, or one per partition, in one commit or as a part of the open transaction.

    Data pages end at boundaries that depend on the content, not after a fixed number of rows. A row that is changed,
    inserted or deleted then changes only the pages around it, and the next version uploads little more than those pages.
    The exception is a change in the first chunk of a file below about 64 MB: that chunk is needed to find the others.

    Parameters
    ----------
    data:
        A pandas or polars data frame, a pyarrow table, or any table with ``__arrow_c_stream__``.
    url:
        The file, or with ``partition_cols`` the folder: ``xet://[endpoint:]owner/repo/branch/path``.
    partition_cols:
        Columns that become folders (``year=2026``). Partitions that are written are replaced, others stay as they are.
    index:
        Whether to store the index of a pandas data frame; by default only if it is more than the number of the row.
    message, parent_commit:
        As in `XetFS.pipe_file`.
    mode, if_match:
        As in `XetFS.pipe_file`, for one file; not together with ``partition_cols``.
    filesystem, storage_options:
        The file system to write to, or arguments of `XetFS` to make one with.
    options:
        For pyarrow's ``ParquetWriter``: ``compression``, ``use_content_defined_chunking`` (``False``, or a dictionary of
        its sizes) and others.

    Raises
    ------
    ConfigError
        pyarrow is not installed, or is older than version 21, which introduced content-defined chunking.
    XetURLError, TypeError
        ``url`` or ``filesystem`` cannot be written to, or ``data`` is not a table.
    AlreadyExistsError, EditConflictError
        The file exists, is not the expected version, or a path changed since ``parent_commit``.
    """
    if partition_cols is not None and (mode != "overwrite" or if_match is not None):
        raise TypeError("mode and if_match are about one file; with partition_cols give parent_commit")
    if mode not in ("overwrite", "create"):
        raise ConfigError(f"mode={mode!r}: expected 'overwrite' or 'create'")
    fs, path = place_of(url, filesystem, storage_options)
    options = with_chunking(options)
    import pyarrow.parquet as pq

    table = as_table(data, index)
    with _one_commit(fs, message, parent_commit) as inside:
        if partition_cols is None:
            with inside.open(
                path, "xb" if mode == "create" else "wb", parent_commit=parent_commit, if_match=if_match
            ) as file:  # fmt: skip
                pq.write_table(table, file, **options)
        else:
            pq.write_to_dataset(
                table, path, partition_cols=list(partition_cols), filesystem=inside, basename_template=_NAMES,
                existing_data_behavior="delete_matching", **options,
            )  # fmt: skip


def with_chunking(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options for pyarrow's writer, with content-defined chunking by default. Raises `ConfigError` like `to_parquet`."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ConfigError("Parquet files need pyarrow: pip install pyarrow") from error
    chunking = options.get(_CHUNKING, True)
    if chunking and int(pa.__version__.partition(".")[0]) < 21:
        raise ConfigError(
            f"pyarrow {pa.__version__} has no content-defined chunking: install pyarrow 21 or later, "
            f"or write without it: {_CHUNKING}=False"
        )
    if chunking is False:
        # Earlier versions of pyarrow do not have this option.
        return {name: value for name, value in options.items() if name != _CHUNKING}
    return {**options, _CHUNKING: chunking}


def as_table(data: Any, index: bool | None) -> Any:
    """Any of the tables that `to_parquet` accepts, as a pyarrow table."""
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    if type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns"):
        return pa.Table.from_pandas(data, preserve_index=index)
    if index is not None:
        raise TypeError("index is for pandas data frames")
    if not hasattr(data, "__arrow_c_stream__"):
        raise TypeError(
            f"{type(data).__name__} is not a table: expected a pandas or polars data frame, or a pyarrow table"
        )
    # polars' own Arrow stream has dictionaries of string views, which crash pyarrow's writer and the process with it.
    return data.to_arrow() if type(data).__module__.partition(".")[0] == "polars" else pa.table(data)


@contextmanager
def _one_commit(fs: XetFS, message: str | None, parent_commit: str | None) -> Iterator[XetFS]:
    """A transaction for a block, nested if one is open; yields a file system that takes part in it on any thread."""
    with fs.transaction(message=message, parent_commit=parent_commit) as own:
        yield own.fs


# -- many workers, one commit ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Staged:
    """A table of which each worker writes a part, and which the driver commits. It is small, and is pickled for the workers.

    Parameters
    ----------
    fs, folder:
        The file system, and the folder for the table.
    partition_cols:
        Columns that become folders.
    options:
        For pyarrow's ``ParquetWriter``.
    """

    fs: XetFS
    folder: str
    partition_cols: Sequence[str]
    options: Mapping[str, Any]

    @classmethod
    def at(
        cls,
        url: Any,
        partition_cols: Sequence[str] | None,
        filesystem: XetFS | None,
        storage_options: Mapping[str, Any] | None,
        options: Mapping[str, Any],
    ) -> Staged:
        """Make one from the arguments of a public function, see `to_parquet`."""
        fs, folder = place_of(url, filesystem, storage_options)
        return cls(fs, folder, list(partition_cols or ()), with_chunking(options))

    def existing(self, *, overwrite: bool) -> list[str]:
        """The files that are in the folder now; raises `AlreadyExistsError` if there are any, unless ``overwrite``."""
        found: list[str] = self.fs.find(self.folder)
        if found and not overwrite:
            raise AlreadyExistsError(f"there are files in {self.folder}; overwrite=True replaces them", status=409)
        return found

    def stage(self, tables: Iterable[Any], name: str) -> list[FilePointer]:
        """In a worker: store the files of one part, which is made of tables with the same schema."""
        import pyarrow.parquet as pq

        with tempfile.TemporaryDirectory(prefix="pyxet-") as scratch:
            if self.partition_cols:
                for number, table in enumerate(tables):
                    pq.write_to_dataset(
                        table, scratch, partition_cols=list(self.partition_cols),
                        basename_template=f"{name}-{number}-{{i}}.parquet", **self.options,
                    )  # fmt: skip
            else:
                _write_one(tables, Path(scratch) / f"{name}.parquet", self.options)
            files = sorted(path for path in Path(scratch).rglob("*") if path.is_file())
            return self.fs.stage_many({f"{self.folder}/{path.relative_to(scratch)}": path for path in files})

    def commit(
        self,
        pointers: Sequence[FilePointer],
        existing: Sequence[str],
        message: str | None,
        parent_commit: str | None,
        fs: XetFS | None = None,
    ) -> Commit | None:
        """In the driver: commit all parts at once, or in the open transaction; ``fs`` may be a transaction's file system."""
        written = {pointer.full_path for pointer in pointers}
        branch = self.fs._parse(self.folder).branch_path
        return (fs or self.fs).commit(
            branch, pointers, delete=[path for path in existing if path not in written], message=message,
            parent_commit=parent_commit,
        )  # fmt: skip


def _write_one(tables: Iterable[Any], path: Path, options: Mapping[str, Any]) -> None:
    """Write some tables to one file; no file if there are no tables."""
    import pyarrow.parquet as pq

    writer: Any = None
    try:
        for table in tables:
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema, **options)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
