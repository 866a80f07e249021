"""pyxet: the async-native Python client for Xet storage.

>>> import pandas as pd
>>> df = pd.read_csv("xet://acme/titanic/main/titanic.csv")

``import pyxet`` is quick: the module behind each public name is imported when the name is first used.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # pip checks the version; other ways to install may not
    raise ImportError(
        "pyxet needs Python 3.11 or later; this is Python {}.{}.{} ({}). Install it with a newer Python.".format(
            *sys.version_info[:3], sys.executable
        )
    )

import importlib
from typing import TYPE_CHECKING, Any, Final

from pyxet._version import __version__
from pyxet.errors import *  # noqa: F403  # the error tree is public as a whole
from pyxet.errors import __all__ as _errors

if TYPE_CHECKING:
    from pyxet import safetensors, testing
    from pyxet._async.changes.transaction import Transaction
    from pyxet._async.fs.filesystem import AsyncXetFileSystem
    from pyxet._environment import versions
    from pyxet.account import login
    from pyxet.config import Limits, RetryPolicy, Timeouts, logout
    from pyxet.fs import XetFS, open
    from pyxet.ingestion.driver import ingest
    from pyxet.parquet import to_parquet
    from pyxet.path import XetPath as XetPath
    from pyxet.reports import IngestFailure, IngestReport
    from pyxet.snapshots import snapshot
    from pyxet.types import Comment, Commit, FilePointer, Info, LfsFile, PathChange, PullRequest, PullRequestInfo
    from pyxet.urls import XetURL
    from pyxet.watching import Metrics, RequestEvent, TransferEvent, metrics, on_request, on_transfer

__all__ = [
    "AsyncXetFileSystem",
    "Comment",
    "Commit",
    "FilePointer",
    "Info",
    "IngestFailure",
    "IngestReport",
    "LfsFile",
    "Limits",
    "Metrics",
    "PathChange",
    "PullRequest",
    "PullRequestInfo",
    "RequestEvent",
    "RetryPolicy",
    "Timeouts",
    "Transaction",
    "TransferEvent",
    "XetFS",
    "XetURL",
    "__version__",
    "ingest",
    "login",
    "logout",
    "metrics",
    "on_request",
    "on_transfer",
    "open",
    "safetensors",
    "snapshot",
    "testing",
    "to_parquet",
    "versions",
]
__all__ += _errors

# Public names and the modules that define them. Add a name here, in the block for type checkers, and in `__all__`; a
# test compares the three.
_HOMES: Final = {
    "AsyncXetFileSystem": "pyxet._async.fs.filesystem",
    "Comment": "pyxet.types",
    "Commit": "pyxet.types",
    "FilePointer": "pyxet.types",
    "Info": "pyxet.types",
    "IngestFailure": "pyxet.reports",
    "IngestReport": "pyxet.reports",
    "LfsFile": "pyxet.types",
    "Limits": "pyxet.config",
    "Metrics": "pyxet.watching",
    "PathChange": "pyxet.types",
    "PullRequest": "pyxet.types",
    "PullRequestInfo": "pyxet.types",
    "RequestEvent": "pyxet.watching",
    "RetryPolicy": "pyxet.config",
    "Timeouts": "pyxet.config",
    "Transaction": "pyxet._async.changes.transaction",
    "TransferEvent": "pyxet.watching",
    "XetFS": "pyxet.fs",
    "XetURL": "pyxet.urls",
    "ingest": "pyxet.ingestion.driver",
    "login": "pyxet.account",
    "logout": "pyxet.config",
    "metrics": "pyxet.watching",
    "on_request": "pyxet.watching",
    "on_transfer": "pyxet.watching",
    "open": "pyxet.fs",
    "snapshot": "pyxet.snapshots",
    "to_parquet": "pyxet.parquet",
    "versions": "pyxet._environment",
}
# Names that need an extra. They are not in `__all__`: without the extra `from pyxet import *` would fail.
_OPTIONAL: Final = {
    "XetPath": "pyxet.path",
}
# Public submodules.
_MODULES: Final = frozenset({"safetensors", "testing"})


if not TYPE_CHECKING:
    # Hidden from type checkers, which would conclude from it that every attribute exists.
    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        home = _HOMES.get(name) or _OPTIONAL.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(home), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, *_OPTIONAL})
