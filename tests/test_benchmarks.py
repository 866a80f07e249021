"""What the benchmarks conclude from their figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[1] / "benchmarks"
_JUDGE = """
import sys
sys.path.insert(0, ".")
from growth import Grown
from pairing import Run

ours, disk = ([[float(text)] for text in part.split()] for part in sys.argv[1:])
grown = Grown((1, 2, 4), tuple([Run(seconds, 0.0, 0)] for [seconds] in ours), tuple(disk))
print(grown.verdicts()[0].met)
"""


@pytest.mark.parametrize(
    ("ours", "disk", "met"),
    [
        ("1 2 4", "1 2 4", True),
        ("1 2 4.6", "1 2 4", False),
        # What the disk itself takes longer is not ours.
        ("1 2 4.6", "1 2 4.8", True),
        # Noise made the disk's first step free: that says nothing of it, so it excuses nothing.
        ("1 2 9", "1 1 4", False),
    ],
)
def test_growth_is_judged_beside_the_disk(ours: str, disk: str, met: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _JUDGE, ours, disk], cwd=_FOLDER, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == f"{met}\n"
