"""The code blocks of a documentation page, run as if a reader pasted them: in order, in one process, on an empty endpoint."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Languages of the blocks that are run.
LANGUAGES = ("python", "console")
# Pages, besides those on integrations, that use packages which only the session ``integrations`` has.
_WITH_TOOLS = {"howto/ingestion.md", "howto/services.md"}
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+) *\n(?P<code>.*?)^(?P=indent)``` *$", re.MULTILINE | re.DOTALL)
_REASON = re.compile(r"<!-- not run: (.+?) -->\s*\Z")


class Block(NamedTuple):
    """A block of code on a page."""

    line: int
    language: str
    code: str
    reason: str | None
    """The reason why it is not run, from a comment before the block; ``None`` for blocks that are run."""


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
    """All pages whose blocks are run: the README and the documentation."""
    return [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]


def needs_tools(page: Path) -> bool:
    """Whether a page uses packages that only the session ``integrations`` has."""
    return page.parent == DOCS / "integrations" or name(page) in _WITH_TOOLS


def name(page: Path) -> str:
    """The page's path below the folder of the documentation, or of the project."""
    return page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT).as_posix()


def run_page(page: Path, folder: Path, then: str = "") -> None:
    """Run the blocks of a page, one after another, as one program; fail if the program does.

    Parameters
    ----------
    page:
        The page.
    folder:
        An empty folder, in which the program runs, and where its local endpoint and other files are written.
    then:
        Python code that runs after the blocks, with their variables, to check the results.
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
