"""The cases in which pyxet and huggingface_hub differ: the page's table is what the example prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import DOCS, ROOT


@pytest.mark.timeout(900)
def test_the_table_of_the_page_is_what_the_example_prints(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "head_to_head.py")],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=880, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(rows) == 10
    page = (DOCS / "migration" / "hf.md").read_text().splitlines()
    assert rows == [line for line in page if line.startswith("| ") and line[2].isdigit()]
