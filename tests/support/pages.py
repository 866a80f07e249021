"""The code blocks of a page of the documentation, run as somebody pastes them: in order, one process, an empty endpoint."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# What a block that is run is written in; blocks in other languages are read only.
LANGUAGES = ("python", "console")
# Pages, beside those on integrations, that use packages which only the session ``integrations`` has.
_WITH_TOOLS = {"howto/ingestion.md", "howto/services.md"}
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+) *\n(?P<code>.*?)^(?P=indent)``` *$", re.MULTILINE | re.DOTALL)
_REASON = re.compile(r"<!-- not run: (.+?) -->\s*\Z")


class Block(NamedTuple):
    """A block of code on a page."""

    line: int
    language: str
    code: str
    reason: str | None
    """Why it is not run, as a comment in front of it says; ``None`` for all that are."""


def blocks(page: Path) -> list[Block]:
    """The Python and console blocks of a page."""
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        if match["language"] in LANGUAGES:
            indent = match["indent"]
            code = "".join(line.removeprefix(indent) for line in match["code"].splitlines(keepends=True))
            reason = _REASON.search(text[: match.start()])
            line = text.count("\n", 0, match.start()) + 2
            found.append(Block(line, match["language"], code, reason[1] if reason else None))
    return found


def pages() -> list[Path]:
    """All pages whose blocks are run, those of the documentation and the README."""
    return [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]


def needs_tools(page: Path) -> bool:
    """Whether a page uses packages that only the session ``integrations`` has."""
    return page.parent == DOCS / "integrations" or name(page) in _WITH_TOOLS


def name(page: Path) -> str:
    """The page's path below the folder of the documentation, or of the project."""
    return page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT).as_posix()


def run_page(page: Path, folder: Path, then: str = "") -> None:
    """Run the blocks of a page, one after another, as one program; it fails as the program does.

    Parameters
    ----------
    page:
        The page.
    folder:
        An empty folder, for the program to run in, for its local endpoint and for whatever else it writes.
    then:
        Python that looks at what the blocks have left, with their names.
    """
    work, home = folder / "work", folder / "home"
    work.mkdir()
    home.mkdir()
    program = Path(sys.executable).parent
    environment = {
        "PATH": f"{program}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "XET_ENDPOINT": "local",
        "PYTHONPATH": str(ROOT / "tests"),
        "LANG": "C.UTF-8",
    }
    answer = subprocess.run(
        [sys.executable, "-m", "support.page_process", str(page), then],
        cwd=work, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, f"{name(page)}\n{answer.stdout[-3000:]}\n{answer.stderr[-6000:]}"
