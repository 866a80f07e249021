"""Pages of the documentation as a reader runs them: pasted block after block, in a new process, on an empty local endpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.pages import blocks


def run_alone(page: Path, folder: Path) -> str:
    """Run all Python blocks of a page, in order and in one process. Returns what they print."""
    script = folder / "page.py"
    script.write_text("\n\n".join(blocks(page)))
    homes = {name: str(folder / name) for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=folder, capture_output=True, text=True, timeout=170,
        env=os.environ | homes | {"XET_ENDPOINT": "local"},
    )  # fmt: skip
    assert done.returncode == 0, f"{page.name}:\n{done.stderr}"
    return done.stdout
