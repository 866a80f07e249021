"""What is remembered of commits: that nothing is at a path, when files last changed, which folders were made."""

from __future__ import annotations

import pytest
from support.proxied import proxied

from pyxet.errors import EntryNotFoundError
from pyxet.testing import LocalEndpoint

LOOK = r"POST /api/.*/paths-info/"
NEVER = 1000.0


def test_what_is_not_there_is_asked_for_once_in_a_call(shared_endpoint: LocalEndpoint, main: str) -> None:
    with proxied(shared_endpoint, listings_expiry_time=NEVER) as (proxy, fs):
        fs.pipe_file(f"{main}/folder/here", b"x")
        proxy.seen.clear()
        for count in range(1, 4):
            assert not fs.exists(f"{main}/folder/gone")
            assert not fs.isfile(f"{main}/gone/deeper/file")
            assert proxy.count(LOOK) == 2 * count
        proxy.seen.clear()
        for _ in range(3):
            assert fs.isdir(f"{main}/folder")
            assert fs.isfile(f"{main}/folder/here")
        assert proxy.count(LOOK) == 2


def test_what_is_not_in_a_commit_is_asked_for_once(shared_endpoint: LocalEndpoint, repo: str, main: str) -> None:
    with proxied(shared_endpoint, listings_expiry_time=NEVER) as (proxy, fs):
        fs.pipe_file(f"{main}/folder/here", b"x")
        commit = f"{repo}/{fs.info(main)['commit']}"
        proxy.seen.clear()
        for _ in range(3):
            assert not fs.exists(f"{commit}/folder/gone")
            assert not fs.isfile(f"{commit}/gone")
        assert proxy.count(LOOK) == 2
        # Nothing can be in a folder that is not there; what is in one that is there has to be asked for.
        assert not fs.exists(f"{commit}/gone/deeper/file")
        assert proxy.count(LOOK) == 2
        assert fs.isdir(f"{commit}/folder")
        assert fs.isfile(f"{commit}/folder/here")
        assert not fs.exists(f"{commit}/folder/gone/file")
        assert len(proxy.seen) == proxy.count(LOOK) == 2 + 2


def test_our_own_commit_is_another_one(shared_endpoint: LocalEndpoint, main: str) -> None:
    with proxied(shared_endpoint, listings_expiry_time=NEVER) as (_, fs):
        assert not fs.exists(f"{main}/a/b")
        fs.pipe_file(f"{main}/a/b", b"x")
        assert fs.exists(f"{main}/a/b")
        with fs.transaction:
            assert not fs.exists(f"{main}/c/d")
            fs.pipe_file(f"{main}/c/d", b"x")
            assert fs.exists(f"{main}/c/d")


def test_folders_of_a_new_folder_are_made_with_one_question(shared_endpoint: LocalEndpoint, main: str) -> None:
    with proxied(shared_endpoint, listings_expiry_time=NEVER) as (proxy, fs):
        for number in range(20):
            fs.mkdir(f"{main}/table/part={number}")
        assert proxy.count(LOOK) == 1
        fs.pipe_file(f"{main}/file", b"x")
        with pytest.raises(FileExistsError):
            fs.mkdir(f"{main}/file")


def test_a_folder_made_by_its_url_is_empty(shared_endpoint: LocalEndpoint, main: str) -> None:
    with proxied(shared_endpoint) as (_, fs):
        fs.mkdir(f"xet://{main}/new")
        assert fs.ls(f"xet://{main}/new") == []
        # By its path, as fsspec has it where there are no empty folders.
        with pytest.raises(EntryNotFoundError):
            fs.ls(f"{main}/new")
        with pytest.raises(EntryNotFoundError):
            fs.ls(f"xet://{main}/other")
        fs.pipe_file(f"{main}/new/file", b"x")
        assert [entry["name"] for entry in fs.ls(f"xet://{main}/new")] == [f"{main}/new/file"]


def test_when_the_files_of_a_folder_changed(shared_endpoint: LocalEndpoint, main: str) -> None:
    """The first ones are asked for one by one, then more at once, and each once."""
    with proxied(shared_endpoint, listings_expiry_time=NEVER) as (proxy, fs):
        fs.pipe({f"{main}/a/{number:03}": b"x" for number in range(200)})
        fs.pipe({f"{main}/a/{number:03}": b"y" for number in range(100)})
        fs.pipe_file(f"{main}/a/folder/file", b"x")
        names = fs.find(f"{main}/a", maxdepth=1)
        proxy.seen.clear()
        moments = [fs.modified(name) for name in names]
        assert proxy.count(LOOK) <= 11
        assert moments == [fs.modified(name) for name in names]
        assert proxy.count(LOOK) <= 11
        commits = fs.log(main)
        assert moments == [commits[1].date] * 100 + [commits[2].date] * 100
        # Not remembered of another commit.
        fs.pipe_file(names[0], b"z")
        assert fs.modified(names[0]) == fs.log(main)[0].date


def test_when_files_of_many_folders_changed(shared_endpoint: LocalEndpoint, main: str) -> None:
    with proxied(shared_endpoint, listings_expiry_time=NEVER) as (proxy, fs):
        fs.pipe({f"{main}/a/{number % 40:02}/{number // 40}": b"x" for number in range(160)})
        names = fs.find(f"{main}/a")
        proxy.seen.clear()
        assert {fs.modified(name) for name in names} == {fs.log(main)[0].date}
        assert proxy.count(LOOK) <= 10


def test_one_file_is_asked_for_alone(shared_endpoint: LocalEndpoint, main: str) -> None:
    with proxied(shared_endpoint, listings_expiry_time=NEVER) as (proxy, fs):
        fs.pipe({f"{main}/a/{number}": b"x" for number in range(5)})
        fs.ls(f"{main}/a")
        proxy.seen.clear()
        for _ in range(3):
            fs.modified(f"{main}/a/2")
        assert proxy.count(LOOK) == 1
        with pytest.raises(EntryNotFoundError):
            fs.modified(f"{main}/a/9")
