"""Dates that the clock of a platform does not know are shown, compared and taken like others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pygit2
import pytest
from support.cli import Cli
from support.clocks import clock_of_windows

import pyxet
from pyxet.cli import formats
from pyxet.cli.admin import _end
from pyxet.testing import LocalEndpoint


@pytest.fixture(params=["UTC", "Asia/Kolkata", "America/New_York"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if not hasattr(time, "tzset"):
        # The zone of the machine has to do.
        yield ""
        return
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("year", [1, 1901, 1969, 1970, 2026, 2039, 3001, 9999])
def test_moments_of_any_year(monkeypatch: pytest.MonkeyPatch, zone: str, year: int) -> None:
    with clock_of_windows(monkeypatch) as there:
        for when in (there(year, 1, 1, tzinfo=UTC), there(year, 12, 31, 23, 59, tzinfo=UTC)):
            local = formats.local_time(when)
            assert local == when
            assert formats.moment(when)[:4].isdigit()
            seconds = formats.seconds_of(when)
            assert formats.moment_at(seconds) == when
        naive = there(year, 6, 15, 12)
        assert abs(formats.seconds_of(naive) - formats.seconds_of(naive.replace(tzinfo=UTC))) <= 86400


def test_where_the_clock_knows_a_moment_it_is_told_by_it(zone: str) -> None:
    when = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert formats.moment(when) == when.astimezone().strftime("%Y-%m-%d %H:%M")
    assert formats.seconds_of(when.astimezone().replace(tzinfo=None)) == when.timestamp()


@pytest.mark.parametrize("text", ["3001-01-01", "9999-12-31", "9999-12-31T23:59:59-12:00", "900w"])
def test_a_token_ends_at_any_time(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with clock_of_windows(monkeypatch):
        assert _end(text) > datetime.now(UTC) + timedelta(days=365)


@pytest.mark.parametrize("text", ["1901-01-01", "99999999999999w", "0001-01-01T00:00:00+12:00", "never"])
def test_a_token_that_cannot_end_then(monkeypatch: pytest.MonkeyPatch, cli: Cli, tmp_path: Path, text: str) -> None:
    cli("serve", "admin", "user", "add", "ada", "--root", str(tmp_path / "store"))
    words = ["serve", "admin", "token", "add", "ada", "--root", str(tmp_path / "store"), "--expires", text]
    assert "over already" in (told := cli(*words, code=2).err) or "is neither a span" in told


@pytest.mark.parametrize("seconds", [-(10**9), 2**31, 40_000_000_000, 10**12])
def test_commits_of_any_date_are_listed(
    cli: Cli, xet: pyxet.XetFS, shared_endpoint: LocalEndpoint, main: str, seconds: int
) -> None:
    """Whoever pushes with git gives them the date."""
    xet.pipe_file(f"{main}/a.txt", b"a")
    name = main.removesuffix("/main")
    [store] = [path for path in Path(shared_endpoint.root).rglob(f"{name.rpartition('/')[2]}*") if path.is_dir()]
    git = pygit2.Repository(str(store))
    head = git[git.references["refs/heads/main"].target]
    who = f"someone <someone@localhost> {seconds} +0000"
    # As bytes: pygit2 would cut the number off.
    commit = f"tree {head.tree.id}\nparent {head.id}\nauthor {who}\ncommitter {who}\n\ndated"
    git.references["refs/heads/main"].set_target(git.write(pygit2.enums.ObjectType.COMMIT, commit.encode()))
    git.free()
    xet.invalidate_cache()
    newest = xet.log(main)[0]
    year = min(9999, max(1, 1970 + seconds // 31_556_952))
    assert abs(newest.date.year - year) <= 1
    assert f"{newest.date.year:04}" in cli("log", main).out or f"{newest.date.year + 1:04}" in cli("log", main).out
    assert xet.ls(main, expand=True)
    assert cli("info", f"{main}/a.txt").out
    assert cli("ls", "-l", main).out
