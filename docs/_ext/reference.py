"""The reference: how blocking methods, which are made when pyxet is imported, are shown; and a check that no public name is missing.

A method of `XetFS` is a function that was made from a coroutine. autodoc finds its signature by itself; this adds the
``timeout`` that all of them take, and the name of the coroutine.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, Any

from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

import pyxet
from pyxet import XetFS, errors

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

_LOG = logging.getLogger(__name__)
# The members of transactions that users call; the others are for file systems and files.
_OF_TRANSACTIONS = [
    "commits",
    "pull_requests",
    "totals",
    "active",
    "fs",
    "open",
    "put",
    "pipe",
    "rm",
    "cp",
    "mv",
    "set_commit_message",
]
# Names of modules for other tools, which may not be installed.
_TOOLS = {"pyxet.polars.scan_parquet", "pyxet.duckdb.transaction", "pyxet.dask.to_parquet", "pyxet.ray.ParquetDatasink"}


def _face(name: str) -> Any:
    """The descriptor that a blocking method of `XetFS` comes from, if there is one."""
    member: Any = vars(XetFS).get(name.removeprefix("pyxet.XetFS."))
    if type(member).__name__ == "Alias":
        member = vars(XetFS).get(member.target)
    return member if type(member).__name__.startswith("Blocking") else None


def with_timeout(_app: Sphinx, what: str, name: str, _object: Any, _options: Any, signature: str | None, returns: str | None) -> Any:  # fmt: skip
    """The signature of a blocking method: with ``timeout``, and with the return type of the iterator instead of the coroutine's."""
    if what != "method" or _face(name) is None or signature is None:
        return None
    inner = signature.removeprefix("(").removesuffix(")").replace("/, ", "").removeprefix("/")
    keyword = "" if re.search(r"\*[,a-z]", inner) else "*, "
    options = re.search(r"(?:, |^)\*\*\w+(: [^,]+)?$", inner)
    given, rest = (inner[: options.start()], inner[options.start() :]) if options else (inner, "")
    parts = [part for part in (given, f"{keyword}timeout: float | None = None") if part]
    if returns and (
        items := re.match(r"(?:collections\.abc\.)?Async(?:Iterator|Generator)\[(.*?)(?:, None)?\]$", returns)
    ):
        returns = f"Iterator[{items[1]}]"
    return f"({', '.join(parts)}{rest})", returns


def with_coroutine(_app: Sphinx, what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Add how to await the coroutine of a blocking method, and refer to other methods by their blocking names."""
    words = [re.sub(r"`_(\w+)`", r"`\1`", line) for line in lines]
    lines[:] = words
    if what != "method" or (face := _face(name)) is None:
        return
    if type(vars(XetFS).get(name.removeprefix("pyxet.XetFS."))).__name__ == "Alias":
        lines[:] = [f"Another name of `{face.call.__name__}`."]
        return
    iterated = type(face).__name__ == "BlockingIterator"
    call = f"async for … in fs.{face.coroutine}(…)" if iterated else f"await fs.{face.coroutine}(…)"
    lines[:] = [*lines, "", f"Asynchronously: ``{call}``"]


def without_overloads(_app: Sphinx) -> None:
    """Show the signatures of ``open`` that the pages give, instead of its six overloads, which differ only in the mode."""
    for module, name in (("pyxet.fs", "XetFS.open"), ("pyxet.fs", "open")):
        analyzer = ModuleAnalyzer.for_module(module)
        analyzer.analyze()
        analyzer.overloads.pop(name, None)


def public_names() -> set[str]:
    """All names that must be in the reference."""
    names = {
        f"pyxet.{'errors.' * (name in errors.__all__)}{name}"
        for name in pyxet.__all__
        if name != "__version__" and not inspect.ismodule(getattr(pyxet, name))
    }
    names |= {"pyxet.XetPath"}
    names |= {f"pyxet.XetFS.{name}" for name in dir(XetFS) if not name.startswith("_")} - {"pyxet.XetFS.open_async"}
    names |= {"pyxet.AsyncXetFileSystem", "pyxet.AsyncXetFileSystem.open_async"}
    names |= {f"pyxet.Transaction.{name}" for name in _OF_TRANSACTIONS}
    for owner in ("Limits", "RetryPolicy", "Timeouts", "XetURL"):
        kind = getattr(pyxet, owner)
        fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
        names |= {
            f"pyxet.{owner}.{name}"
            for name, member in inspect.getmembers(kind)
            if not name.startswith("_") and name not in fields and inspect.getdoc(member)
        }
    names |= _TOOLS
    for module in pyxet.__all__:
        if inspect.ismodule(member := getattr(pyxet, module)):
            names |= {f"pyxet.{module}.{name}" for name in member.__all__}
    return names


def nothing_is_left_out(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of each public name that is on no page; ``nox -s docs`` treats warnings as errors."""
    told = set(env.domaindata["py"]["objects"])
    for name in sorted(public_names() - told):
        _LOG.warning("%s is public, and on no page of the reference", name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", without_overloads)
    app.connect("autodoc-process-signature", with_timeout)
    app.connect("autodoc-process-docstring", with_coroutine, priority=100)
    app.connect("env-check-consistency", nothing_is_left_out)
    return {"parallel_read_safe": True}
