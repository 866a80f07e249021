"""Errors, which never read as "not there", and never leave a part of an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest
from support.faults import FaultProxy, answer, no_answer, silent
from support.proxied import proxied

import pyxet
from pyxet import (
    AccessDeniedError,
    AuthenticationError,
    ConnectionFailedError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    Timeouts,
)
from pyxet.testing import LocalEndpoint

OPERATIONS: dict[str, Any] = {
    "exists": lambda fs, tree, tmp: fs.exists(f"{tree}/data/a.csv"),
    "exists branch": lambda fs, tree, tmp: fs.exists(tree),
    "exists owner": lambda fs, tree, tmp: fs.exists("acme"),
    "lexists": lambda fs, tree, tmp: fs.lexists(f"{tree}/data"),
    "isfile": lambda fs, tree, tmp: fs.isfile(f"{tree}/data/a.csv"),
    "isdir": lambda fs, tree, tmp: fs.isdir(f"{tree}/data"),
    "isdir_or_branch": lambda fs, tree, tmp: fs.isdir_or_branch(tree),
    "is_repo": lambda fs, tree, tmp: fs.is_repo(tree.rpartition("/")[0]),
    "branch_exists": lambda fs, tree, tmp: fs.branch_exists(tree.rpartition("/")[0], "main"),
    "info": lambda fs, tree, tmp: fs.info(f"{tree}/data/a.csv"),
    "ls": lambda fs, tree, tmp: fs.ls(f"{tree}/data"),
    "ls repos": lambda fs, tree, tmp: fs.ls("acme"),
    "find": lambda fs, tree, tmp: fs.find(tree),
    "find above": lambda fs, tree, tmp: fs.find(tree.rpartition("/")[0]),
    "walk": lambda fs, tree, tmp: list(fs.walk(tree)),
    "fsspec.walk": lambda fs, tree, tmp: list(fsspec.AbstractFileSystem.walk(fs, tree, on_error="raise")),
    "glob": lambda fs, tree, tmp: fs.glob(f"{tree}/data/*.csv"),
    "du": lambda fs, tree, tmp: fs.du(tree),
    "sizes": lambda fs, tree, tmp: fs.sizes([f"{tree}/top.txt"]),
    "cat": lambda fs, tree, tmp: fs.cat(f"{tree}/data", recursive=True),
    "cat_ranges": lambda fs, tree, tmp: fs.cat_ranges([f"{tree}/top.txt"], 0, 1, on_error="raise"),
    "get": lambda fs, tree, tmp: fs.get(f"{tree}/data", str(tmp), recursive=True),
    "get_file": lambda fs, tree, tmp: fs.get_file(f"{tree}/data", str(tmp)),
    "put": lambda fs, tree, tmp: fs.put(__file__, f"{tree}/data/"),
    "cp": lambda fs, tree, tmp: fs.cp(f"{tree}/data", f"{tree}/copy", recursive=True),
    "mv": lambda fs, tree, tmp: fs.mv(f"{tree}/data", f"{tree}/moved", recursive=True),
    "rm": lambda fs, tree, tmp: fs.rm(f"{tree}/data", recursive=True),
    "touch": lambda fs, tree, tmp: fs.touch(f"{tree}/top.txt", truncate=False),
    "xb": lambda fs, tree, tmp: fs.open(f"{tree}/top.txt", "xb"),
    "ab": lambda fs, tree, tmp: fs.open(f"{tree}/top.txt", "ab"),
}

FAULTS: dict[str, tuple[Any, type[Exception]]] = {
    "401": (answer(401), AuthenticationError),
    "403": (answer(403), AccessDeniedError),
    "429": (answer(429), RateLimitedError),
    "500": (answer(500), ServerError),
    "503": (answer(503), ServerError),
    "silence": (silent(), RequestTimeoutError),
    "no answer": (no_answer(), ConnectionFailedError),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_is_never_not_there(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, tree: str, tmp_path: Path, fault: str
) -> None:
    act, expected = FAULTS[fault]
    before = xet.log(tree)
    once = pyxet.RetryPolicy(attempts=1)
    timeouts = Timeouts(connect=0.02, response=0.02) if fault == "silence" else None
    with proxied(shared_endpoint, retry=once, timeouts=timeouts) as (proxy, fs):
        proxy.rule(r"\w+ /api/", act)
        for name, operation in OPERATIONS.items():
            target = tmp_path / name.replace(" ", "-")
            with pytest.raises(expected):
                operation(fs, tree, target)
            assert not target.exists(), name
    xet.invalidate_cache()
    assert xet.log(tree) == before


@pytest.mark.parametrize("status", [401, 403, 404])
def test_the_code_outranks_the_status(through: tuple[FaultProxy, pyxet.XetFS], tree: str, status: int) -> None:
    proxy, fs = through
    proxy.rule(r"\w+ /api/", answer(status, X_Error_Code="RepoNotFound"))
    assert not fs.exists(f"{tree}/top.txt")
    assert fs.find(tree) == []


@pytest.mark.parametrize("act", [answer(500), answer(403), answer(404), no_answer()])
def test_a_page_that_fails_in_the_middle(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, many: str, tmp_path: Path, act: Any
) -> None:
    proxy, fs = through
    before = xet.log(many)
    rule = proxy.rule(r"GET /api/models/acme/many/tree/", act, skip=1)
    target = tmp_path / "got"
    for operation in (
        lambda: fs.find(many),
        lambda: list(fs.walk(many)),
        lambda: fs.glob(f"{many}/**/*1"),
        lambda: fs.du(many),
        lambda: fs.cat(f"{many}/*/*"),
        lambda: fs.get(many, str(target), recursive=True),
        lambda: fs.cp(many, f"{many}/copy", recursive=True),
        lambda: fs.mv(f"{many}/d1", f"{many}/moved", recursive=True),
        lambda: fs.rm(f"{many}/*", recursive=True),
    ):
        # Each begins anew: the first page comes, the second does not.
        rule.used = 0
        fs.invalidate_cache()
        with pytest.raises(OSError):
            operation()
    assert not target.exists()
    assert xet.log(many) == before


def test_without_a_token(shared_endpoint: LocalEndpoint, tree: str) -> None:
    fs = pyxet.XetFS(shared_endpoint.url, token="")
    assert fs.cat(f"{tree}/top.txt") == b"top"
    assert not fs.exists("nobody-at-all")
    with pytest.raises(AuthenticationError):
        fs.ls("")
