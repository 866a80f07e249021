"""`to_parquet`: tables as Parquet files that a later version shares most of its content with.

It needs pyarrow, which is imported when it is called.
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
# Of all files that a partition gets from one write: the same names each time, so that a new version replaces the last one.
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
    """Write a table as one Parquet file, or as one for each partition: one commit, or a part of the open transaction.

    Data pages are cut where the content says so, not after a fixed number of rows. A row that is changed, inserted or
    deleted then changes the pages around it only, and the next version uploads little more than those. Changes in the first
    chunk of a file below some 64 MB are the exception: it is by that chunk that the rest is found.

    Parameters
    ----------
    data:
        A pandas or polars data frame, a pyarrow table, or any table with ``__arrow_c_stream__``.
    url:
        The file, or with ``partition_cols`` the folder: ``xet://[endpoint:]owner/repo/branch/path``.
    partition_cols:
        Columns that become folders (``year=2026``). A partition that is written is replaced, the others are left alone.
    index:
        Whether to store the index of a pandas data frame; by default where it is more than the number of the row.
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
        pyarrow is not installed, or its version knows no content-defined chunking, which came with version 21.
    XetURLError, TypeError
        ``url``, ``filesystem`` or ``data`` is nothing that can be written to, or be written.
    AlreadyExistsError, EditConflictError
        The file exists, is not the version expected, or a path changed since ``parent_commit``.
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
    """Options for pyarrow's writer, with content-defined chunking unless they say otherwise; `ConfigError` as above."""
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
        # What earlier versions of pyarrow do not know they need not be told.
        return {name: value for name, value in options.items() if name != _CHUNKING}
    return {**options, _CHUNKING: chunking}


def as_table(data: Any, index: bool | None) -> Any:
    """A pyarrow table of a table of any kind, see `to_parquet`."""
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    if type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns"):
        return pa.Table.from_pandas(data, preserve_index=index)
    if index is not None:
        raise TypeError("index is for pandas data frames")
    if not hasattr(data, "__arrow_c_stream__"):
        raise TypeError(
            f"{type(data).__name__} is no table: expected a pandas or polars data frame, or a pyarrow table"
        )
    # What polars gives by itself has dictionaries of string views, at which pyarrow's writer ends the process.
    return data.to_arrow() if type(data).__module__.partition(".")[0] == "polars" else pa.table(data)


@contextmanager
def _one_commit(fs: XetFS, message: str | None, parent_commit: str | None) -> Iterator[XetFS]:
    """A file system that takes part on any thread in a transaction of this block, which may be nested in an open one."""
    with fs.transaction(message=message, parent_commit=parent_commit) as own:
        yield own.fs


# -- many workers, one commit ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Staged:
    """A table that workers write, a part each, and a driver commits. It is small and goes to the workers by pickle.

    Parameters
    ----------
    fs, folder:
        Where the table will be.
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
        """From the arguments of a public function, see `to_parquet`."""
        fs, folder = place_of(url, filesystem, storage_options)
        return cls(fs, folder, list(partition_cols or ()), with_chunking(options))

    def existing(self, *, overwrite: bool) -> list[str]:
        """The files of the folder, which the commit will replace; `AlreadyExistsError` for any unless ``overwrite``."""
        found: list[str] = self.fs.find(self.folder)
        if found and not overwrite:
            raise AlreadyExistsError(f"there are files in {self.folder}; overwrite=True replaces them", status=409)
        return found

    def stage(self, tables: Iterable[Any], name: str) -> list[FilePointer]:
        """In a worker: store the files of one part, which consists of some tables of one schema."""
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
        """In the driver: one commit of all parts, or a part of the open transaction; ``fs`` may be that of one."""
        written = {pointer.full_path for pointer in pointers}
        branch = self.fs._parse(self.folder).branch_path
        return (fs or self.fs).commit(
            branch, pointers, delete=[path for path in existing if path not in written], message=message,
            parent_commit=parent_commit,
        )  # fmt: skip


def _write_one(tables: Iterable[Any], path: Path, options: Mapping[str, Any]) -> None:
    """One file of some tables; none if there are none."""
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
