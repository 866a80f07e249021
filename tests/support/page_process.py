"""The process in which the code blocks of a page run: ``python -m support.page_process PAGE CODE``."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from pyxet.errors import PyxetWarning
from support.pages import blocks

# Parts of the output of commands that differ from run to run: ids, sizes and times.
_VARIES = re.compile(r"(\b[0-9a-f]{7,40}\b|\d[\d.,:\-]*)( [KMG]?i?B\b)?")

# The first line of a block that readers save as a file has the file's name.
_FILE = re.compile(r"# (\w+\.py)\n")


def commands(code: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console block, in lines that begin with ``$``, each with the output that the block shows for it."""
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
    """Run a console block. Each line of output in it must be printed, except progress bars, which only terminals show."""
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
            # Line numbers are those of the page, so that tracebacks refer to it.
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, str(page), "exec"), names)
    exec(compile(then, "what the page has left", "exec"), names)


if __name__ == "__main__":
    warnings.simplefilter("error", PyxetWarning)
    warnings.simplefilter("error", ResourceWarning)
    main(Path(sys.argv[1]), sys.argv[2])
