"""The docstrings of public names are complete: each parameter, what is returned, what is raised."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pyxet
from pyxet import AsyncXetFileSystem, XetFS
from pyxet._docstrings import completed

SECTION = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}\n(.*?)(?=^[A-Z][A-Za-z ]+\n-{3,}\n|\Z)", re.MULTILINE | re.DOTALL)


def public() -> Iterator[tuple[str, Any]]:
    """Functions, classes and methods that users may call, and that are ours."""
    for name in sorted(pyxet.__all__):
        member = getattr(pyxet, name)
        if inspect.isclass(member) and not issubclass(member, BaseException):
            yield name, member
            for inner, method in inspect.getmembers(member, callable):
                if not inner.startswith("_") and _is_ours(method) and not _covered(member, inner):
                    yield f"{name}.{inner}", method
        elif inspect.isfunction(member):
            yield name, member


def _is_ours(method: Any) -> bool:
    """Whether we wrote it; what fsspec has is explained there."""
    return str(getattr(inspect.unwrap(method), "__module__", "")).startswith("pyxet")


def _covered(owner: type, name: str) -> bool:
    """Whether it is of the asynchronous class and on the blocking one, too, from which it is taken."""
    return owner is AsyncXetFileSystem and name in dir(XetFS)


PUBLIC = dict(public())
# What a transaction is told by file systems and files is no user's business.
INTERNAL = {f"Transaction.{name}" for name in dir(pyxet.Transaction)}


def sections(function: Callable[..., Any]) -> dict[str, str]:
    return dict(SECTION.findall(f"{inspect.getdoc(function)}\n"))


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - INTERNAL - {"XetFS", "Info"}))
def test_public_docstrings_are_complete(name: str) -> None:
    member = PUBLIC[name]
    found = sections(member)
    told = found.get("Parameters", "") + found.get("Attributes", "")
    named = {
        part.strip().lstrip("*")
        for line in told.splitlines()
        if line and not line[0].isspace()
        for part in line.partition(" : ")[0].rstrip(":").split(",")
    }
    if dataclasses.is_dataclass(member) or _is_struct(member):
        fields = inspect.signature(member).parameters.keys()
        undocumented = fields - named - set(_words(inspect.getdoc(member)))
        assert not undocumented
        return
    parameters = inspect.signature(member).parameters.values()
    expected = {p.name for p in parameters if p.name not in ("self", "cls") and p.kind is not p.VAR_POSITIONAL}
    assert not expected - named, "parameters without a word"
    assert not named - expected, "words without a parameter"
    if inspect.isclass(member):
        return
    if inspect.signature(member).return_annotation not in (None, "None", inspect.Signature.empty):
        assert found.keys() & {"Returns", "Yields"}, "what it returns"
    if inspect.iscoroutinefunction(inspect.unwrap(member)):
        assert "XetError" in found["Raises"]


def _is_struct(member: Any) -> bool:
    return inspect.isclass(member) and hasattr(member, "__struct_fields__")


def _words(text: str | None) -> list[str]:
    return re.findall(r"\w+", text or "")


def test_a_docstring_is_completed_in_the_order_of_the_signature() -> None:
    async def call(path: str, own: int, start: int = 0, end: int = 0, message: str | None = None) -> int:
        """Do it.

        Parameters
        ----------
        own:
            Its own.
        start, end:
            Together.

        Returns
        -------
        int
            One.

        Examples
        --------
        >>> await call("x", 1)
        """
        return 1

    text = completed(call)
    assert text is not None
    assert re.findall(r"^(\w[\w, ]*):$", text, re.MULTILINE) == ["path", "own", "start, end", "message"]
    assert [title for title, _ in SECTION.findall(text)] == ["Parameters", "Returns", "Raises", "Examples"]
    assert completed(call, text) == text
