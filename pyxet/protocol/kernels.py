"""The choice between the C kernels and their numpy twins, made once at import."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final, Literal

Kernel = Literal["c", "numpy"]


def load(kernel: Kernel) -> ModuleType:
    """The module of a kernel; `ImportError` where the C one was not built."""
    return importlib.import_module("pyxet.protocol._gear" if kernel == "c" else "pyxet.protocol._gear_numpy")


def _choose() -> Kernel:
    try:
        load("c")
    except ImportError:
        return "numpy"
    return "c"


# "c" or "numpy": the kernel of this process, as bug reports need to know it.
name: Final[Kernel] = _choose()
