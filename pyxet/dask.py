"""`to_parquet`: write a dask data frame as Parquet files, uploaded by workers, in one commit. Needs dask and pyarrow."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyxet.errors import ConfigError
from pyxet.fs import XetFS
from pyxet.options import public
from pyxet.parquet import Staged, as_table
from pyxet.types import Commit, FilePointer

try:
    import dask
except ImportError as error:
    raise ImportError("pyxet.dask needs dask; install it with: pip install 'pyxet[dask]'") from error


@public(further=True)
def to_parquet(
    ddf: Any,
    url: str | os.PathLike[str],
    *,
    partition_on: Sequence[str] | None = None,
    write_index: bool = True,
    overwrite: bool = False,
    name_function: Callable[[int], str] | None = None,
    schema: Any = None,
    message: str | None = None,
    parent_commit: str | None = None,
    filesystem: XetFS | None = None,
    storage_options: Mapping[str, Any] | None = None,
    compute_kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> Commit | None:
    """Write a dask data frame to a folder, one file per partition, in one commit or as a part of the open transaction.

    With any scheduler, each worker stores the content of its partitions, and this process commits what they stored. If a
    partition fails after dask's retries, nothing is committed. A partition that is computed again, for example because a
    worker died, is stored once.

    Parameters
    ----------
    ddf:
        A ``dask.dataframe.DataFrame``.
    url:
        The folder: ``xet://[endpoint:]owner/repo/branch/path``.
    partition_on:
        Columns that become folders (``year=2026``).
    write_index:
        Whether to store the index.
    overwrite:
        Whether to replace the files in the folder, in the same commit. If false, the folder must have no files.
    name_function:
        Returns the name of a file, without its suffix, for the number of its partition; ``part-00000`` if ``None``.
    schema:
        A pyarrow schema for all files, needed if partitions would get different schemas.
    message, parent_commit:
        As in `XetFS.commit`.
    filesystem, storage_options:
        The file system to write to, or arguments of `XetFS` to make one with. It is sent to the workers with its options;
        settings that it takes from environment variables must be set in the workers' environment, too.
    compute_kwargs:
        For ``dask.compute``: ``scheduler`` and others.
    options:
        For pyarrow's ``ParquetWriter``, as in `pyxet.to_parquet`.

    Returns
    -------
    Commit | None
        ``None`` in a transaction, which commits at its end, and if nothing changes.

    Raises
    ------
    AlreadyExistsError
        There are files in the folder, and ``overwrite`` is not set.
    ConfigError, XetURLError, TypeError
        As in `pyxet.to_parquet`; ``name_function`` returns the same name twice, or a name that is a path.
    EditConflictError
        A path changed since ``parent_commit``.
    """
    if not hasattr(ddf, "to_delayed") or not hasattr(ddf, "columns"):
        raise TypeError(f"{type(ddf).__name__} is not a dask data frame")
    staged = Staged.at(url, partition_on, filesystem, storage_options, options)
    existing = staged.existing(overwrite=overwrite)
    partitions = ddf.to_delayed()
    names = [(name_function or "part-{:05}".format)(number) for number in range(len(partitions))]
    if len(set(names)) < len(names):
        raise ConfigError("name_function gives the same name to two partitions")
    for name in names:
        if "/" in name or not name:
            raise ConfigError(f"name_function gives {name!r}, which is not a file name")
    task = dask.delayed(_stage, pure=False)
    tasks = [
        task(partition, staged, name, write_index, schema) for partition, name in zip(partitions, names, strict=True)
    ]
    parts: Sequence[list[FilePointer]] = dask.compute(*tasks, **(compute_kwargs or {}))
    return staged.commit([pointer for part in parts for pointer in part], existing, message, parent_commit)


def _stage(partition: Any, staged: Staged, name: str, write_index: bool, schema: Any) -> list[FilePointer]:
    """In a worker: store one partition."""
    table = as_table(partition, write_index)
    if schema is not None:
        table = table.select(schema.names).cast(schema)
    return staged.stage([table], name)
