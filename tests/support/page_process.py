"""The process in which the blocks of a page run: ``python -m support.page_process PAGE [CODE]``."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from pyxet.errors import PyxetWarning
from support.pages import blocks

# What differs from run to run in what commands print: ids, sizes, times, and how columns are aligned by them.
_VARIES = re.compile(r"(\b[0-9a-f]{7,40}\b|\d[\d.,:\-]*)( [KMG]?i?B\b)?")

# The first line of a block that is a file, under whose name readers save it.
_FILE = re.compile(r"# (\w+\.py)\n")


def commands(code: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console block, those behind a ``$``, each with the lines that it is said to print."""
    command, printed = "", list[str]()
    for line in code.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, printed
            command, printed = line[2:], []
        elif command.endswith("\\"):
            command += f"\n{line}"
        else:
            printed.append(line)
    yield command, printed


def plain(line: str) -> str:
    return " ".join(_VARIES.sub("#", line).split())


def run_commands(code: str) -> None:
    """Run a console block; each line that it shows must be one that is printed. Those that move on a terminal are not."""
    for command, printed in commands(code):
        done = subprocess.run(["bash", "-ec", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        lines = [plain(line) for line in (done.stdout + done.stderr).splitlines()]
        for line in printed:
            if line.strip("… .") and "━" not in line:
                assert plain(line) in lines, f"$ {command}\n{line!r} is not among\n{done.stdout}{done.stderr}"


def main(page: Path, then: str) -> None:
    names = sys.modules["__main__"].__dict__
    for block in blocks(page):
        if block.reason is not None:
            continue
        if block.language == "console":
            run_commands(block.code)
        else:
            if file := _FILE.match(block.code):
                Path(file[1]).write_text(block.code)
            # Lines count as on the page, so that a traceback leads there.
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, str(page), "exec"), names)
    exec(compile(then, "what the page has left", "exec"), names)


if __name__ == "__main__":
    warnings.simplefilter("error", PyxetWarning)
    warnings.simplefilter("error", ResourceWarning)
    main(Path(sys.argv[1]), sys.argv[2])
