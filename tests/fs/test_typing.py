"""What editors and `inspect` see. What type checkers see is in tests/typing, which ``nox -s lint`` checks."""

from __future__ import annotations

import ast
import inspect
import runpy
from pathlib import Path

import pytest

from pyxet import AsyncXetFileSystem, XetFS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", [XetFS, AsyncXetFileSystem])
def test_the_constructor_shows_its_signature(kind: type) -> None:
    parameters = inspect.signature(kind).parameters
    assert list(parameters)[:3] == ["endpoint", "user", "token"]
    assert {"limits", "retry", "timeouts", "asynchronous"} < parameters.keys()
    inspect.signature(kind).bind("local", limits=None, skip_instance_cache=True)
    with pytest.raises(TypeError, match="multiple values"):
        inspect.signature(kind).bind("local", endpoint="local")


def test_a_subclass_shows_the_signature_of_its_own_constructor() -> None:
    class Labelled(XetFS):
        def __init__(self, label: str, **options: object) -> None:
            super().__init__(**options)  # type: ignore[arg-type]
            self.label = label

    assert list(inspect.signature(Labelled).parameters) == ["label", "options"]
    assert "endpoint" in inspect.signature(XetFS).parameters


def test_the_stub_is_what_the_coroutines_say() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_blocking.py"))
    assert made["STUB"].read_text() == made["stub"](), "python docs/make_blocking.py makes it anew"


def test_the_stub_has_every_blocking_method() -> None:
    stub = ROOT / "pyxet" / "_async" / "fs" / "blocking.pyi"
    [kind] = (node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ClassDef))
    typed = {node.name for node in kind.body if isinstance(node, ast.FunctionDef)}
    made = {
        name for name, value in vars(XetFS).items() if type(value).__name__ in ("Blocking", "BlockingIterator", "Alias")
    }  # fmt: skip
    assert typed == made
    assert {"info", "ls", "walk", "log", "stat"} < typed
