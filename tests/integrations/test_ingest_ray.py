"""Ingests by ray, on two processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from support.ingests import FILES, Deleting, assert_arrived, check_a_kill_of_the_driver, ingest
from support.sources import SourceFileSystem

import pyxet
from pyxet.testing import LocalEndpoint


@pytest.fixture(scope="module")
def connected() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # Workers import the source as this process does.
        patch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False)
        try:
            yield
        finally:
            ray.shutdown()


def test_workers_store_and_the_driver_commits(
    xet: pyxet.XetFS, main: str, connected: None, notes: Path, journal: Path
) -> None:
    source = SourceFileSystem(FILES, str(notes))
    report = ingest(source, xet, main, engine="ray", journal=journal)
    assert (report.files, report.bytes, report.failed) == (len(FILES), sum(FILES.values()), 0)
    assert_arrived(xet, main)
    again = ingest(source, xet, main, engine="ray", journal=journal)
    assert (again.resumed_files, again.commits) == (len(FILES), ())
    assert len(source.reads) == len(FILES)
    assert ray.is_initialized()


def test_a_worker_that_is_killed(xet: pyxet.XetFS, main: str, connected: None, notes: Path, journal: Path) -> None:
    trouble = {"tree/1/004.bin": "kills once", "tree/large.bin": "kills once"}
    source = SourceFileSystem(FILES, str(notes), trouble)
    report = ingest(source, xet, main, engine="ray", journal=journal)
    assert len(list(notes.glob("trouble-*"))) == 2
    assert (report.files, report.failed) == (len(FILES), 0)
    assert_arrived(xet, main)


def test_a_file_that_kills_whoever_reads_it(
    xet: pyxet.XetFS, main: str, connected: None, notes: Path, journal: Path
) -> None:
    source = SourceFileSystem(FILES, str(notes), {"tree/large.bin": "kills"})
    with pytest.raises(pyxet.IngestError, match="workers that copied it died"):
        ingest(source, xet, main, engine="ray", journal=journal, batch_bytes=1024 * 1024)
    report = ingest(source, xet, main, engine="ray", journal=journal, batch_bytes=1024 * 1024, on_error="skip")
    assert [failure.path for failure in report.failures] == ["large.bin"]
    assert_arrived(xet, main, without=frozenset({"tree/large.bin"}))


def test_failing_files(xet: pyxet.XetFS, main: str, connected: None, notes: Path, journal: Path) -> None:
    source = SourceFileSystem(FILES, str(notes), {"tree/1/004.bin": "fails", "tree/large.bin": "fails"})
    with pytest.raises(pyxet.IngestError) as caught:
        ingest(source, xet, main, engine="ray", journal=journal)
    assert sorted(failure.path for failure in caught.value.report.failures) == ["1/004.bin", "large.bin"]
    assert len(xet.log(main)) == 1


def test_a_failing_endpoint(
    shared_endpoint: LocalEndpoint, main: str, connected: None, notes: Path, journal: Path
) -> None:
    stranger = pyxet.XetFS(endpoint=shared_endpoint.url, token="wrong")
    with pytest.raises(pyxet.AuthenticationError):
        ingest(SourceFileSystem(FILES, str(notes)), stranger, main, engine="ray", journal=journal)


def test_a_repository_that_goes_away_meanwhile(
    xet: pyxet.XetFS, repo: str, main: str, connected: None, notes: Path, journal: Path
) -> None:
    """An error of the endpoint in a worker is the same one in the driver."""
    source, callback = SourceFileSystem(FILES, str(notes)), Deleting(xet, repo)
    with pytest.raises(pyxet.RepositoryNotFoundError):
        ingest(source, xet, main, engine="ray", journal=journal, callback=callback)


def test_another_address_than_the_one_connected_to(
    xet: pyxet.XetFS, main: str, connected: None, notes: Path, journal: Path
) -> None:
    with pytest.raises(pyxet.ConfigError, match="connected already"):
        ingest(SourceFileSystem(FILES, str(notes)), xet, main, engine="ray", client="10.0.0.1:6379", journal=journal)


def test_a_driver_that_is_killed(
    shared_endpoint: LocalEndpoint,
    xet: pyxet.XetFS,
    main: str,
    notes: Path,
    journal: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    assert "RAY_ADDRESS" not in os.environ
    check_a_kill_of_the_driver("ray", shared_endpoint, xet, main, notes, journal)
