"""The code blocks of pages of the documentation, run in their order as one program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import pyxet
from pyxet.testing import LocalEndpoint
from support.raw_client import RawClient

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[str]:
    """The Python blocks of a page."""
    return _BLOCK.findall(page.read_text())


def run_page(page: Path, names: dict[str, Any]) -> None:
    """Run the Python blocks of a page, one after another, with the same names."""
    for number, block in enumerate(blocks(page)):
        exec(compile(block, f"{page.name}, block {number + 1}", "exec"), names)


@contextmanager
def titanic(endpoint: LocalEndpoint, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What pages take for granted: ``fs``, the repository ``acme/titanic``, an environment that names the endpoint."""
    monkeypatch.setenv("XET_ENDPOINT", endpoint.url)
    monkeypatch.setenv("XET_USER_NAME", endpoint.user)
    monkeypatch.setenv("XET_USER_TOKEN", endpoint.token)
    monkeypatch.chdir(folder)
    fs = pyxet.XetFS()
    RawClient(endpoint, endpoint.token).make_repo("acme/titanic")
    try:
        fs.put(str(ROOT / "examples" / "data" / "titanic.csv"), "acme/titanic/main/titanic.csv")
        yield {"__name__": "page", "fs": fs, "pyxet": pyxet}
    finally:
        fs.delete_repo("acme/titanic")
