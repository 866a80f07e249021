"""Listings that also tell when things last changed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from support.faults import FaultProxy

import pyxet

LOOK = "POST .*/paths-info/"


def test_listings_with_dates(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a.txt": b"1", f"{main}/d/b.txt": b"2"})
    plain = xet.ls(main)
    assert not any("last_modified" in info for info in plain)
    listed = xet.ls(main, expand=True)
    assert [info["name"] for info in listed] == [f"{main}/a.txt", f"{main}/d"]
    found = xet.find(main, withdirs=True, detail=True, expand=True)
    shallow = xet.find(main, maxdepth=1, detail=True, expand=True)
    one = xet.ls(f"{main}/a.txt", expand=True)
    for info in [*listed, found[f"{main}/d/b.txt"], found[f"{main}/d"], *shallow.values(), *one]:
        assert datetime.now(UTC) - info["last_modified"] < timedelta(minutes=5)


def test_the_date_is_that_of_the_last_change(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/a.txt", b"1")
    first = xet.ls(main, expand=True)[0]["last_modified"]
    while datetime.now(UTC) - first < timedelta(seconds=1.1):
        xet.info(main)
    xet.pipe_file(f"{main}/b.txt", b"2")
    later = {info["name"]: info["last_modified"] for info in xet.ls(main, expand=True, refresh=True)}
    assert later[f"{main}/a.txt"] == first
    assert later[f"{main}/b.txt"] > first


def test_what_is_pending_has_no_date(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a.txt": b"1", f"{main}/b.txt": b"1"})
    with xet.transaction:
        xet.pipe_file(f"{main}/a.txt", b"2")
        xet.pipe_file(f"{main}/new/c.txt", b"3")
        dated = {info["name"] for info in xet.ls(main, expand=True) if "last_modified" in info}
        assert dated == {f"{main}/b.txt"}
        assert [info["name"] for info in xet.ls(f"{main}/new", expand=True)] == [f"{main}/new/c.txt"]


def test_dates_asked_for_on_several_threads_cost_few_requests(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str
) -> None:
    proxy, fs = through
    xet.pipe({f"{main}/{number:02}.txt": bytes([number]) for number in range(64)})
    paths = fs.ls(main, detail=False)
    proxy.clear()
    before = proxy.count(LOOK)
    together = threading.Barrier(8)

    def ask(mine: list[str]) -> list[datetime]:
        together.wait()
        return [fs.modified(path) for path in mine]

    with ThreadPoolExecutor(8) as pool:
        dates = [date for found in pool.map(ask, [paths[thread::8] for thread in range(8)]) for date in found]
    assert len(dates) == 64
    assert all(datetime.now(UTC) - date < timedelta(minutes=5) for date in dates)
    # Each request brings as many as are known, or nothing is left to ask for: 1, 1, 2, 4, 8, 16, 32; the last of them may
    # find less behind a file than they would take, and then the next ones bring what is left.
    assert proxy.count(LOOK) - before <= 12
