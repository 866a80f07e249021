"""Scans: listings that come page by page, all of one commit, and that fail as a whole."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from support.faults import answer
from support.proxied import proxied

import pyxet
from pyxet.testing import LocalEndpoint


def test_all_files_page_by_page(xet: pyxet.XetFS, many: str) -> None:
    pages = list(xet.scan(many))
    assert len(pages) > 2
    found = {info["name"]: info for page in pages for info in page}
    assert found == xet.find(many, detail=True)
    assert [info["name"] for page in xet.scan(f"{many}/d1") for info in page] == xet.find(f"{many}/d1")


def test_all_pages_are_of_one_commit(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/{number:04}": b"x" for number in range(1500)})
    pages = xet.scan(main)
    first = next(pages)
    xet.pipe_file(f"{main}/9999", b"later")
    assert len(first) + sum(map(len, pages)) == 1500


def test_a_file_and_what_is_not_there(xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.pipe_file(f"{main}/x", b"abc")
    assert list(xet.scan(f"{main}/x")) == [[xet.info(f"{main}/x")]]
    assert [len(page) for page in xet.scan(f"{repo}/{xet.log(main)[-1].id}")] in ([], [0])
    with pytest.raises(pyxet.EntryNotFoundError):
        list(xet.scan(f"{main}/nothing"))
    with pytest.raises(pyxet.RevisionNotFoundError):
        list(xet.scan(f"{repo}/nothing"))
    with pytest.raises(pyxet.XetURLError, match="owner/repo/branch"):
        list(xet.scan(repo))


def test_dates_where_they_are_asked_for(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a": b"a", f"{main}/d/b": b"b"})
    [found] = xet.scan(main, dates=True)
    assert {info["name"] for info in found} == {f"{main}/a", f"{main}/d/b"}
    assert all(abs((datetime.now(UTC) - info["last_modified"]).total_seconds()) < 3600 for info in found)
    [[alone]] = xet.scan(f"{main}/a", dates=True)
    assert alone == xet.info(f"{main}/a", expand=True)


def test_a_page_that_fails_is_no_end(shared_endpoint: LocalEndpoint, many: str) -> None:
    with proxied(shared_endpoint) as (proxy, fs):
        pages = fs.scan(many)
        next(pages)
        proxy.rule(r"GET /api/models/acme/many/tree/", answer(403))
        with pytest.raises(pyxet.AccessDeniedError):
            list(pages)


def test_inside_a_transaction_it_sees_what_is_pending(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a": b"a", f"{main}/b": b"b"})
    seen: list[str] = []
    with xet.transaction as tr:
        xet.pipe_file(f"{main}/c", b"c")
        xet.rm(f"{main}/a")
        assert sorted(info["name"] for page in xet.scan(main) for info in page) == [f"{main}/b", f"{main}/c"]
        # From another thread by the file system that is bound to it.
        thread = threading.Thread(target=lambda: seen.extend(i["name"] for page in tr.fs.scan(main) for i in page))
        thread.start()
        thread.join()
    assert sorted(seen) == [f"{main}/b", f"{main}/c"]
