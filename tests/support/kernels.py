"""The kernels to test. The C kernel may be missing where there is no compiler, but not in CI."""

from __future__ import annotations

import os

import pytest

from pyxet.protocol import kernels
from pyxet.protocol.kernels import Kernel

HAS_C = kernels.name == "c" or bool(os.environ.get("CI"))
KERNELS: list[Kernel] = ["c", "numpy"] if HAS_C else ["numpy"]

needs_c = pytest.mark.skipif(not HAS_C, reason="the C kernel is not built here")
