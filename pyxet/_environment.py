"""What a bug report says about the machine: versions of pyxet, of Python and of the packages that pyxet works with."""

from __future__ import annotations

import platform
import re
import sys
from importlib import metadata
from typing import Final

from pyxet._version import __version__
from pyxet.protocol import kernels

# Not in the requirements of pyxet, but often part of what happens.
_BESIDE: Final = ("huggingface_hub", "hf-xet", "pandas", "pyarrow", "uvloop")


def versions() -> dict[str, str]:
    """What runs here: for bug reports, and in logs of services.

    It says nothing of accounts, endpoints and folders.

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
    """The packages that pyxet names as its requirements, those of extras included, and some beside them."""
    try:
        requirements = metadata.requires("pyxet") or []
    except metadata.PackageNotFoundError:
        # A source tree on the path, installed by nobody.
        requirements = []
    names = [match[0] for text in requirements if (match := re.match(r"[\w.-]+", text))]
    return list(dict.fromkeys([*names, *_BESIDE]))


def _has_gil() -> bool:
    asked = getattr(sys, "_is_gil_enabled", None)
    return asked is None or bool(asked())
