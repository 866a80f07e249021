"""pyxet: the async-native Python client for Xet storage.

>>> import pandas as pd
>>> df = pd.read_csv("xet://acme/titanic/main/titanic.csv")
"""

from __future__ import annotations

from typing import Any

from pyxet import testing
from pyxet._async.filesystem import AsyncXetFileSystem
from pyxet._async.transaction import Transaction
from pyxet._version import __version__
from pyxet.config import Limits, RetryPolicy, Timeouts, login, logout
from pyxet.errors import *  # noqa: F403  # the error tree is public as a whole
from pyxet.errors import __all__ as _errors
from pyxet.fs import XetFS
from pyxet.types import Commit
from pyxet.urls import XetURL

__all__ = [
    "AsyncXetFileSystem",
    "Commit",
    "Limits",
    "RetryPolicy",
    "Timeouts",
    "Transaction",
    "XetFS",
    "XetURL",
    "__version__",
    "login",
    "logout",
    "open",
    "testing",
]
__all__ += _errors


def open(url: str, mode: str = "rb", **kwargs: Any) -> Any:
    """Open a file by its URL.

    Parameters
    ----------
    url:
        ``xet://[endpoint:]owner/repo/branch/path``.
    mode, kwargs:
        As in `XetFS.open`.
    """
    return XetFS(XetFS._get_kwargs_from_urls(url).get("endpoint")).open(url, mode, **kwargs)
