"""Branches and tags by the names that git gives their references: ``refs/heads/main``, ``refs/tags/v1``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from support.contents import content

import pyxet
from pyxet.errors import NotSupportedError, RevisionNotFoundError
from pyxet.testing import LocalEndpoint


@pytest.fixture
def in_full(xet: pyxet.XetFS, main: str) -> str:
    """The main branch by the name of its reference, with a file."""
    xet.pipe({f"{main}/a.txt": b"one", f"{main}/d/b.bin": content(1)})
    return f"{main.removesuffix('main')}refs%2Fheads%2Fmain"


WRITES: dict[str, Callable[[pyxet.XetFS, str, Path], Any]] = {
    "pipe": lambda fs, branch, _: fs.pipe({f"{branch}/x": b"new", f"{branch}/y": b"new"}),
    "put": lambda fs, branch, local: fs.put_file(local, f"{branch}/x"),
    "open": lambda fs, branch, _: fs.open(f"{branch}/x", "wb").close(),
    "copy": lambda fs, branch, _: fs.copy(f"{branch}/d/b.bin", f"{branch}/x"),
    "move": lambda fs, branch, _: fs.mv(f"{branch}/a.txt", f"{branch}/x"),
    "delete": lambda fs, branch, _: (fs.rm(f"{branch}/a.txt"), fs.touch(f"{branch}/x")),
    "stage": lambda fs, branch, _: fs.commit(branch, [fs.stage(b"new", f"{branch}/x")]),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_branch_is_written_to(xet: pyxet.XetFS, main: str, in_full: str, tmp_path: Path, write: str) -> None:
    (tmp_path / "local").write_bytes(b"new")
    WRITES[write](xet, in_full, tmp_path / "local")
    assert xet.isfile(f"{in_full}/x")
    assert xet.isfile(f"{main}/x")


def test_both_names_are_one_branch_in_a_transaction(xet: pyxet.XetFS, main: str, in_full: str) -> None:
    before = len(xet.log(main))
    with xet.transaction:
        xet.pipe_file(f"{main}/x", b"1")
        xet.pipe_file(f"{in_full}/y", b"2")
        assert xet.cat_file(f"{in_full}/x") == b"1"
        assert xet.cat_file(f"{main}/y") == b"2"
        xet.rm(f"{in_full}/x")
        assert not xet.exists(f"{main}/x")
    assert len(xet.log(main)) == len(xet.log(in_full)) == before + 1


async def test_coroutines(shared_endpoint: LocalEndpoint, main: str, in_full: str) -> None:
    access = (shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    async with pyxet.AsyncXetFileSystem(*access, asynchronous=True) as fs:
        async with fs.transaction as tr:
            await tr.pipe(f"{in_full}/x", b"1")
        async with fs.open_async(f"{in_full}/y", "wb") as file:
            await file.write(b"2")
        assert await fs._cat([f"{main}/x", f"{main}/y"]) == {f"{main}/x": b"1", f"{main}/y": b"2"}


def test_what_is_no_branch_is_not_written_to(xet: pyxet.XetFS, repo: str, in_full: str) -> None:
    xet.make_tag(repo, "v1", "main")
    with pytest.raises(NotSupportedError, match="is a tag"):
        xet.pipe_file(f"{repo}/refs%2Ftags%2Fv1/x", b"x")
    # Nor is a name in full taken for that of a tag or of a pull request.
    for name in ("v1", "pr%2F1", "nosuch"):
        with pytest.raises(RevisionNotFoundError, match=r"has no branch '(v1|pr/1|nosuch)'"):
            xet.pipe_file(f"{repo}/refs%2Fheads%2F{name}/x", b"x")


def test_a_tag_that_is_called_like_a_branch(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, repo: str, in_full: str, tmp_path: Path
) -> None:
    """What is written by a name is what is read by it, also by `huggingface_hub`: the name is the branch's."""
    xet.make_tag(repo, "v1", "main")
    xet.make_branch(repo, "main", "v1")
    xet.pipe_file(f"{repo}/v1/a.txt", b"two")
    assert xet.cat_file(f"{repo}/v1/a.txt") == xet.cat_file(f"{repo}/refs%2Fheads%2Fv1/a.txt") == b"two"
    assert xet.cat_file(f"{repo}/refs%2Ftags%2Fv1/a.txt") == b"one"
    assert (xet.find_ref(repo, "v1")["kind"], xet.find_ref(repo, "refs/tags/v1")["kind"]) == ("branch", "tag")
    hub = HfApi(shared_endpoint.url, token=shared_endpoint.token)
    for revision, expected in (("v1", "two"), ("refs/heads/v1", "two"), ("refs/tags/v1", "one")):
        found = hub.hf_hub_download(repo, "a.txt", revision=revision, cache_dir=tmp_path)
        assert Path(found).read_text() == expected, revision
    hub.upload_file(path_or_fileobj=b"three", path_in_repo="a.txt", repo_id=repo, revision="v1")
    xet.invalidate_cache()
    assert xet.cat_file(f"{repo}/v1/a.txt") == b"three"
    xet.delete_branch(repo, "v1")
    assert xet.cat_file(f"{repo}/v1/a.txt") == b"one"
