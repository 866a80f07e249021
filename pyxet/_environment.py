"""The versions for bug reports: of pyxet, of Python, of the platform and of the packages that pyxet works with."""

from __future__ import annotations

import platform
import re
import sys
from importlib import metadata
from typing import Final

from pyxet._version import __version__
from pyxet.protocol import kernels

# Not required by pyxet, but often involved in what bug reports describe.
_BESIDE: Final = ("huggingface_hub", "hf-xet", "pandas", "pyarrow", "uvloop")


def versions() -> dict[str, str]:
    """Versions of pyxet, of Python and of packages, for bug reports and for logs of services.

    They contain nothing about accounts, endpoints or folders.

    Returns
    -------
    dict of str to str
        ``pyxet``, ``python``, ``platform``, ``kernel`` (``"c"``, or ``"numpy"`` where pyxet was built without a compiler,
        which is slower), and the version of each package that pyxet needs or often works with; ``"not installed"`` where
        one is missing.

    Examples
    --------
    >>> pyxet.versions()["kernel"]
    'c'
    """
    version = platform.python_version()
    found = {
        "pyxet": __version__,
        "python": f"{platform.python_implementation()} {version}{'' if _has_gil() else ' free-threaded'}",
        "platform": platform.platform(),
        "kernel": kernels.name,
    }
    for name in _packages():
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _packages() -> list[str]:
    """The packages that pyxet requires, those of extras included, and those of `_BESIDE`."""
    try:
        requirements = metadata.requires("pyxet") or []
    except metadata.PackageNotFoundError:
        # A source tree on the path that was not installed.
        requirements = []
    names = [match[0] for text in requirements if (match := re.match(r"[\w.-]+", text))]
    return list(dict.fromkeys([*names, *_BESIDE]))


def _has_gil() -> bool:
    asked = getattr(sys, "_is_gil_enabled", None)
    return asked is None or bool(asked())
