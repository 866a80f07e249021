"""`ParquetDatasink`: write a Ray dataset as Parquet files, uploaded by workers, in one commit. Needs Ray and pyarrow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pyxet.fs import XetFS
from pyxet.options import public
from pyxet.parquet import Staged
from pyxet.types import Commit, FilePointer

try:
    from ray.data import Datasink
    from ray.data.block import BlockAccessor
except ImportError as error:
    raise ImportError("pyxet.ray needs Ray Data; install it with: pip install 'pyxet[ray]'") from error


class ParquetDatasink(Datasink):  # type: ignore[misc]  # Ray may not be installed
    """Writes a dataset to a folder as one commit: ``dataset.write_datasink(ParquetDatasink("xet://…"))``.

    If it is made inside a transaction, the files become a part of that transaction.

    Each worker stores the content of its part; when all are done, the driver commits what they stored. If the job fails,
    nothing is committed. A part that is written again, for example because a worker died, is stored once.

    Parameters
    ----------
    url:
        The folder: ``xet://[endpoint:]owner/repo/branch/path``.
    partition_cols:
        Columns that become folders (``year=2026``).
    overwrite:
        Whether to replace the files in the folder, in the same commit. If false, the folder must have no files.
    message, parent_commit:
        As in `XetFS.commit`.
    filesystem, storage_options:
        The file system to write to, or arguments of `XetFS` to make one with. It is sent to the workers with its options;
        settings that it takes from environment variables must be set in the workers' environment, too.
    options:
        For pyarrow's ``ParquetWriter``, as in `pyxet.to_parquet`.

    Attributes
    ----------
    commit:
        The commit, once it is made; ``None`` if nothing changed, and in a transaction, which commits at its end.

    Raises
    ------
    ConfigError, XetURLError, TypeError
        As in `pyxet.to_parquet`.
    """

    @public(further=True, name="ParquetDatasink")
    def __init__(
        self,
        url: str | os.PathLike[str],
        *,
        partition_cols: Sequence[str] | None = None,
        overwrite: bool = False,
        message: str | None = None,
        parent_commit: str | None = None,
        filesystem: XetFS | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self._staged = Staged.at(url, partition_cols, filesystem, storage_options, options)
        self._overwrite = overwrite
        self._message = message
        self._parent_commit = parent_commit
        self._existing: list[str] = []
        # Ray calls `on_write_start` and `on_write_complete` on a thread of its own, where no transaction is open.
        transaction = self._staged.fs._open_transaction()
        self._bound: XetFS | None = None if transaction is None else transaction.fs
        self.commit: Commit | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Transactions cannot be sent to other processes, and workers do not need the list of files.
        return self.__dict__ | {"_bound": None, "_existing": []}

    def get_name(self) -> str:
        """The name that Ray shows in its messages."""
        return "XetParquet"

    def on_write_start(self, *args: Any, **kwargs: Any) -> None:
        """In the driver, before anything is written: list existing files; raise `AlreadyExistsError` unless ``overwrite``."""
        self._existing = self._staged.existing(overwrite=self._overwrite)

    def write(self, blocks: Iterable[Any], ctx: Any) -> list[FilePointer]:
        """In a worker: store the blocks of one task as one file."""
        return self._staged.stage(_tables(blocks), f"part-{ctx.task_idx:05}")

    def on_write_complete(self, write_result: Any) -> None:
        """In the driver, when all parts are stored: commit them."""
        pointers = [pointer for part in write_result.write_returns for pointer in part]
        self.commit = self._staged.commit(pointers, self._existing, self._message, self._parent_commit, self._bound)


def _tables(blocks: Iterable[Any]) -> Iterator[Any]:
    for block in blocks:
        table = BlockAccessor.for_block(block).to_arrow()
        if table.num_rows:
            yield table
