"""Methods of a transaction's file system that the transaction has as well, ``tr.put`` is ``tr.fs.put``; and how notebooks show it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from pyxet._shown import Rows
from pyxet.reports import Totals
from pyxet.types import Commit


class Shortcuts(ABC):
    """See `Transaction`."""

    @property
    @abstractmethod
    def is_asynchronous(self) -> bool:
        """Whether the file system is."""

    @property
    @abstractmethod
    def fs(self) -> Any:
        """The file system."""

    @property
    @abstractmethod
    def commits(self) -> tuple[Commit, ...]:
        """The commits that were made."""

    @property
    @abstractmethod
    def totals(self) -> Totals:
        """How much it holds."""

    def _repr_html_(self) -> str:
        made = Rows(self.commits)._repr_html_() if self.commits else "<p>No commit was made yet.</p>"
        return made + self.totals._repr_html_()

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        """Open a file in this transaction, see ``fs.open``; ``open_async``, to be awaited, on an asynchronous one."""
        return getattr(self.fs, "open_async" if self.is_asynchronous else "open")(path, mode, **kwargs)

    def put(self, lpath: Any, rpath: Any, recursive: bool = False, **kwargs: Any) -> Any:
        """Upload files in this transaction, see ``fs.put``; to be awaited on an asynchronous file system."""
        return self._call("put", lpath, rpath, recursive=recursive, **kwargs)

    def pipe(self, path: Any, value: bytes | None = None, **kwargs: Any) -> Any:
        """Write bytes in this transaction, see ``fs.pipe``; to be awaited on an asynchronous file system."""
        return self._call("pipe", path, value, **kwargs)

    def rm(self, path: Any, recursive: bool = False, **kwargs: Any) -> Any:
        """Delete files in this transaction, see ``fs.rm``; to be awaited on an asynchronous file system."""
        return self._call("rm", path, recursive=recursive, **kwargs)

    def cp(self, path1: Any, path2: Any, recursive: bool = False, **kwargs: Any) -> Any:
        """Copy files in this transaction, see ``fs.cp``; to be awaited on an asynchronous file system."""
        return self._call("copy", path1, path2, recursive=recursive, **kwargs)

    def mv(self, path1: Any, path2: Any, recursive: bool = False, **kwargs: Any) -> Any:
        """Move files in this transaction, see ``fs.mv``; to be awaited on an asynchronous file system."""
        return self._call("mv", path1, path2, recursive=recursive, **kwargs)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        name = f"_{name}" if self.is_asynchronous else name
        return getattr(self.fs, name)(*args, **kwargs)
