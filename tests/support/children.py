"""Child processes that call a function of a test, or run code of it."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any

from support.capabilities import need


def in_child(kind: str, work: Any, *arguments: Any) -> Any:
    """Call a function in a child process and return its result, or raise its error."""
    if kind == "fork":
        need("fork")
    context: Any = multiprocessing.get_context(kind)
    ours, theirs = context.Pipe()
    child = context.Process(target=_run, args=(theirs, work, arguments))
    child.start()
    theirs.close()
    try:
        assert ours.poll(60), "the child hangs"
        result = ours.recv()
    finally:
        child.join(10)
        if child.is_alive():
            child.kill()
            child.join()
    assert child.exitcode == 0
    if isinstance(result, BaseException):
        raise result
    return result


def elsewhere(code: str, *arguments: str) -> str:
    """Run Python code in another process and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _run(connection: Connection, work: Any, arguments: tuple[Any, ...]) -> None:
    try:
        result = work(*arguments)
    except BaseException as error:  # noqa: BLE001  # sent to the parent
        result = error
    connection.send(result)
