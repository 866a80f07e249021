"""Warnings before an endpoint refuses a file or folder, or ends a commit that is too large: where its limits are known."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.contents import BINARY

import pyxet
from pyxet.errors import BadRequestError, PyxetWarning
from pyxet.protocol.repo_limits import RepoLimits
from pyxet.testing import HubBehaviour, local_endpoint

SMALL = HubBehaviour(folder_entries=5, file_size=1000, commit_files=8)
MAIN = "test/advice/main"


@pytest.fixture
def fs() -> Iterator[pyxet.XetFS]:
    with local_endpoint(like_hub=SMALL) as endpoint:
        found = pyxet.XetFS(endpoint.url, endpoint.user, endpoint.token)
        found.make_repo("test/advice")
        yield found


def test_a_folder_that_gets_too_full(fs: pyxet.XetFS) -> None:
    with (
        pytest.warns(PyxetWarning, match="test/advice/main/d would have more than 5 files"),
        pytest.raises(BadRequestError),
    ):
        fs.pipe({f"{MAIN}/d/{number}": b"x" for number in range(6)})
    fs.pipe({f"{MAIN}/d/{number}": b"x" for number in range(5)})


def test_a_file_that_is_too_large_is_told_before_it_is_sent(fs: pyxet.XetFS, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 1001)
    writes: dict[str, Callable[[], object]] = {
        "put": lambda: fs.put_file(tmp_path / "large", f"{MAIN}/large"),
        "pipe": lambda: fs.pipe_file(f"{MAIN}/large", BINARY * 1000),
    }
    for write in writes.values():
        with pytest.warns(PyxetWarning, match="refuses files of more than 1,000"), pytest.raises(BadRequestError):
            write()
    # Whoever takes warnings for errors uploads nothing.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PyxetWarning):
            writes["put"]()


def test_more_files_than_are_advised_are_committed_all_the_same(fs: pyxet.XetFS) -> None:
    with pytest.warns(PyxetWarning, match="more than 8 files in one commit to test/advice/main") as caught:
        fs.pipe({f"{MAIN}/{number % 4}/{number}": b"x" for number in range(12)})
    assert len(caught) == 1
    assert len(fs.find(MAIN)) == 13


def test_what_is_within_the_limits_is_no_reason_to_warn(fs: pyxet.XetFS) -> None:
    for _ in range(2):
        fs.pipe({f"{MAIN}/{number % 4}/{number}": b"x" * 1000 for number in range(8)})


def test_files_that_are_not_written_after_all_do_not_count(fs: pyxet.XetFS, tmp_path: Path) -> None:
    with fs.transaction:
        with suppress(LookupError), fs.transaction:
            fs.pipe({f"{MAIN}/d/undone{number}": b"x" for number in range(5)})
            raise LookupError
        fs.pipe({f"{MAIN}/d/deleted{number}": b"x" for number in range(5)})
        fs.rm(f"{MAIN}/d", recursive=True)
        for number in range(5):
            with pytest.raises(FileNotFoundError):
                fs.put_file(tmp_path / f"{number}", f"{MAIN}/d/{number}")
        fs.pipe({f"{MAIN}/d/{number}": b"x" for number in range(5)})
        fs.pipe({f"{MAIN}/e/{number}": b"x" for number in range(3)})
    assert len(fs.find(f"{MAIN}/d")) == 5


def test_files_that_are_uploaded_at_once_are_counted_once_they_are_there(fs: pyxet.XetFS, tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}").write_bytes(b"%d" % number)
    with (
        pytest.warns(PyxetWarning, match="more than 5 files|more than 8 files") as caught,
        pytest.raises(BadRequestError),
    ):
        fs.put(f"{tmp_path}/", f"{MAIN}/d/", recursive=True)
    assert len(caught) == 2


def test_limits_that_are_known() -> None:
    hub = RepoLimits(10_000, 500 * 10**9, 100)
    assert RepoLimits.of_host("https://huggingface.co") == hub
    assert RepoLimits.of_host("https://hub-ci.huggingface.co") == hub
    assert RepoLimits.of_host("https://nothuggingface.co") is None
    assert RepoLimits.of_host("http://localhost:8787") is None
    assert RepoLimits.told({"RateLimit": '"api";r=1;t=2'}) == hub
    assert RepoLimits.told({"RateLimit": '"default";r=1;t=2'}) is None
    assert RepoLimits.told({}) is None
    told = RepoLimits(5, None, 8)
    assert RepoLimits.told({"X-Repo-Limits": told.header()}) == told
    assert RepoLimits.told({"X-Repo-Limits": "folder-entries=-1, nonsense, file-size=x"}) == RepoLimits(
        None, None, None
    )
