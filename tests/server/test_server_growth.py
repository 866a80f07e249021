"""What a page costs the endpoint, however much comes before it: counted in looks at the repository, not in time."""

from __future__ import annotations

import gc
import itertools
import time
import urllib.request
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pyxet
from pyxet.server.git_repository import Repository
from pyxet.server.suspended import Suspended
from pyxet.testing import LocalEndpoint, local_endpoint


def pages(suspended: Suspended, begun: list[int], count: int, size: int) -> Iterator[list[int]]:
    """The pages of a listing of ``count`` numbers; ``begun`` gets where it was begun anew."""
    start = 0

    def begin() -> Iterator[int]:
        begun.append(start)
        return iter(range(start, count))

    while True:
        found, more = suspended.page(begin, size, ("numbers", start), lambda item: ("numbers", item + 1))
        yield found
        if not more:
            return
        start = found[-1] + 1


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 30, 35])
def test_pages_go_on_where_the_last_one_stopped(count: int) -> None:
    begun: list[int] = []
    found = list(pages(Suspended(), begun, count, 10))
    assert list(itertools.chain(*found)) == list(range(count))
    assert [len(page) for page in found[:-1]] == [10] * (len(found) - 1)
    assert begun == [0]


def test_a_page_after_thousands_of_others_is_like_the_first() -> None:
    """Were each page to wrap the iterator of the one before it, this would end the interpreter."""
    begun: list[int] = []
    found = list(pages(Suspended(), begun, 200_000, 2))
    assert len(found) == 100_000
    assert begun == [0]


def test_what_nobody_went_on_with_is_forgotten_and_begun_anew() -> None:
    now = 0.0
    suspended, begun = Suspended(lambda: now), list[int]()
    listing = pages(suspended, begun, 30, 10)
    next(listing)
    now = 3600.0
    assert next(listing) == list(range(10, 20))
    assert begun == [0, 10]
    # So it is where many are under way.
    many = [pages(suspended, [], 30, 10) for _ in range(20)]
    for other in many:
        next(other)
    assert next(listing) == list(range(20, 30))


def test_the_same_page_may_be_asked_for_twice() -> None:
    """An answer that was lost: the iterator is gone with it."""
    suspended, begun = Suspended(), list[int]()
    first, second = (pages(suspended, begun, 30, 10) for _ in range(2))
    assert [next(first), next(second), next(first), next(second)] == [
        [*range(10)],
        [*range(10)],
        [*range(10, 20)],
        [*range(10, 20)],
    ]
    assert begun == [0, 0, 10]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEndpoint]:
    root: Path = tmp_path_factory.mktemp("growth")
    with local_endpoint(root=root, user="ann") as running:
        yield running


def test_a_log_walks_each_commit_once_and_a_large_folder_is_read_once(
    endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = pyxet.XetFS(endpoint.url, token=endpoint.token)
    fs.make_repo("ann/many")
    fs.pipe({f"ann/many/main/all/{number:04}": b"%d" % number for number in range(2500)})
    for number in range(120):
        fs.pipe_file("ann/many/main/a", b"%d" % number)
    walked, begun = 0, 0
    history, entries = Repository.history, Repository.entries

    def counted_history(self: Repository, commit: Any) -> Iterator[Any]:
        nonlocal walked
        for found in history(self, commit):
            walked += 1
            yield found

    def counted_entries(self: Repository, *arguments: Any, **options: Any) -> Iterator[Any]:
        nonlocal begun
        begun += 1
        return entries(self, *arguments, **options)

    monkeypatch.setattr(Repository, "history", counted_history)
    monkeypatch.setattr(Repository, "entries", counted_entries)
    log = fs.log("ann/many/main")
    # That of the files, and those that a new repository has.
    assert len(log) >= 121
    assert [commit.id for commit in log] == list(dict.fromkeys(commit.id for commit in log))
    assert walked == len(log)
    names = fs.ls("ann/many/main/all", detail=False)
    assert names == sorted(names)
    assert len(names) == 2500
    assert begun == 1


@pytest.mark.parametrize("change", ["delete", "move"])
def test_a_listing_that_nobody_goes_on_with_holds_no_repository_that_goes(endpoint: LocalEndpoint, change: str) -> None:
    fs = pyxet.XetFS(endpoint.url, token=endpoint.token)
    name = f"ann/{change}d"
    fs.make_repo(name)
    fs.pipe({f"{name}/main/all/{number:04}": b"x" for number in range(1001)})
    url = f"{endpoint.url}/api/models/{name}/tree/main/all"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {endpoint.token}"})
    with urllib.request.urlopen(request) as answer:
        assert "next" in answer.headers["Link"]
    held = [weakref.ref(item) for item in gc.get_objects() if isinstance(item, Repository) and str(item.id) == name]
    assert held
    if change == "delete":
        fs.delete_repo(name)
    else:
        fs.rename_repo(name, f"{name}-on")
    # What answered the requests may be about to end.
    deadline = time.monotonic() + 30
    while any(repository() is not None for repository in held):
        assert time.monotonic() < deadline
        gc.collect()
