"""Tests can be run on every platform: modules of tests can be imported there, and what a test needs is named and known."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import capabilities, windows

TESTS = Path(__file__).parent
MODULES = sorted(path for path in TESTS.rglob("*.py") if path.parent.name != "typing")
# One forks, and runs nowhere else; the others are the pretence of Windows, and run on Linux.
NOT_IMPORTED = {"as_windows.py", "cli_server.py", "windows.py"}
UNIX = {("socket", name) for name in ("AF_UNIX", "recv_fds", "send_fds")}
UNIX |= {("os", name) for name in windows.ABSENT} | {("signal", name) for name in windows.SIGNALS}


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What of a module runs when it is imported: decorators and defaults of functions, but not their bodies."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for part in (*child.decorator_list, child.args):
                yield part
                yield from at_import(part)
        elif not isinstance(child, ast.Lambda):
            yield child
            yield from at_import(child)


def unix_at_import(source: str) -> list[str]:
    found = []
    for node in at_import(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name in windows.MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module in windows.MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found += [f"{node.value.id}.{node.attr}"] if (node.value.id, node.attr) in UNIX else []
    return found


def test_what_only_unix_has_is_not_needed_to_import_a_test() -> None:
    found = {
        path.relative_to(TESTS).as_posix(): names
        for path in MODULES
        if path.name not in NOT_IMPORTED and (names := unix_at_import(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import fcntl",
        "from pty import openpty",
        "import signal\nX = [signal.SIGINT, signal.SIGKILL]",
        "import os\n@mark(os.geteuid() == 0)\ndef test(): ...",
        "import os\ndef test(x=os.fork): ...",
        "import socket\nclass A:\n    kind = socket.AF_UNIX",
    ],
)
def test_such_a_need_is_found(source: str) -> None:
    assert len(unix_at_import(source)) == 1
    assert unix_at_import(f"def test():\n    {source.splitlines()[0]}\nlambda: os.fork()") == []


def test_needs_are_known_and_named() -> None:
    named = set()
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        for arguments in re.findall(r"\b(?:mark\.needs|need|has)\(((?:\"[^\"]*\"(?:, )?)+)\)", text):
            named |= set(re.findall(r"\"([^\"]*)\"", arguments))
    assert named == set(capabilities.NAMES)


def test_nothing_is_missing_on_linux() -> None:
    """Where everything is tested, no test is left out by what it needs."""
    if sys.platform == "linux":
        assert set(capabilities.missing()) <= {"a plain user"}


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "has", lambda name: name != "pty")
    capabilities.need("fork", "links")
    with pytest.raises(pytest.skip.Exception, match="not here: pty"):
        capabilities.need("fork", "pty", "pty")
    monkeypatch.undo()
    with pytest.raises(KeyError):
        capabilities.need(*["nothing that anybody knows"])
