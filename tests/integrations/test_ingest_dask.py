"""Ingests by dask, on a cluster of two processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dask
import distributed
import pytest
from support.history import commits
from support.ingests import FILES, Deleting, assert_arrived, check_a_kill_of_the_driver, ingest
from support.sources import SourceFileSystem, assert_copied

import pyxet
from pyxet.testing import HubBehaviour, LocalEndpoint, local_endpoint


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    # Otherwise it closes a worker for good that is being started again 15 seconds after it was lost for the first time.
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
    ):
        yield cluster


@pytest.fixture
def client(cluster: distributed.LocalCluster) -> Iterator[distributed.Client]:
    with distributed.Client(cluster) as client:
        yield client


def test_workers_store_and_the_driver_commits(
    xet: pyxet.XetFS, main: str, client: distributed.Client, notes: Path, journal: Path
) -> None:
    source = SourceFileSystem(FILES, str(notes))
    # The client that is there is found.
    report = ingest(source, xet, main, engine="dask", journal=journal)
    assert (report.files, report.bytes, report.failed) == (len(FILES), sum(FILES.values()), 0)
    assert_arrived(xet, main)
    again = ingest(source, xet, main, engine="dask", client=client, journal=journal)
    assert (again.resumed_files, again.commits) == (len(FILES), ())
    assert len(source.reads) == len(FILES)


def test_the_address_of_a_scheduler(
    xet: pyxet.XetFS, main: str, cluster: distributed.LocalCluster, notes: Path, journal: Path
) -> None:
    ingest(
        SourceFileSystem(FILES, str(notes)), xet, main, engine="dask", client=cluster.scheduler_address, journal=journal
    )
    assert_arrived(xet, main)


def test_a_worker_that_is_killed(
    xet: pyxet.XetFS, main: str, client: distributed.Client, notes: Path, journal: Path
) -> None:
    trouble = {"tree/1/004.bin": "kills once", "tree/large.bin": "kills once"}
    source = SourceFileSystem(FILES, str(notes), trouble)
    report = ingest(source, xet, main, engine="dask", client=client, journal=journal)
    assert len(list(notes.glob("trouble-*"))) == 2
    assert (report.files, report.failed) == (len(FILES), 0)
    assert_arrived(xet, main)


def test_a_file_that_kills_whoever_reads_it(
    xet: pyxet.XetFS, main: str, client: distributed.Client, notes: Path, journal: Path
) -> None:
    source = SourceFileSystem(FILES, str(notes), {"tree/large.bin": "kills"})
    with pytest.raises(pyxet.IngestError, match="workers that copied it died"):
        ingest(source, xet, main, engine="dask", client=client, journal=journal, batch_bytes=1024 * 1024)
    report = ingest(
        source, xet, main, engine="dask", client=client, journal=journal, batch_bytes=1024 * 1024, on_error="skip"
    )  # fmt: skip
    # Who reads cannot be told from who is read beside it: large files are a batch of their own.
    assert [failure.path for failure in report.failures] == ["large.bin"]
    assert_arrived(xet, main, without=frozenset({"tree/large.bin"}))


def test_failing_files(xet: pyxet.XetFS, main: str, client: distributed.Client, notes: Path, journal: Path) -> None:
    source = SourceFileSystem(FILES, str(notes), {"tree/1/004.bin": "fails", "tree/large.bin": "fails"})
    with pytest.raises(pyxet.IngestError) as caught:
        ingest(source, xet, main, engine="dask", client=client, journal=journal)
    assert sorted(failure.path for failure in caught.value.report.failures) == ["1/004.bin", "large.bin"]
    assert len(xet.log(main)) == 1


def test_a_failing_endpoint(
    shared_endpoint: LocalEndpoint, main: str, client: distributed.Client, notes: Path, journal: Path
) -> None:
    stranger = pyxet.XetFS(endpoint=shared_endpoint.url, token="wrong")
    with pytest.raises(pyxet.AuthenticationError):
        ingest(SourceFileSystem(FILES, str(notes)), stranger, main, engine="dask", client=client, journal=journal)


def test_a_repository_that_goes_away_meanwhile(
    xet: pyxet.XetFS, repo: str, main: str, client: distributed.Client, notes: Path, journal: Path
) -> None:
    """An error of the endpoint in a worker is the same one in the driver."""
    source, callback = SourceFileSystem(FILES, str(notes)), Deleting(xet, repo)
    with pytest.raises(pyxet.RepositoryNotFoundError):
        ingest(source, xet, main, engine="dask", client=client, journal=journal, callback=callback)


def test_an_endpoint_in_the_driver(tmp_path: Path, client: distributed.Client, notes: Path, journal: Path) -> None:
    fs = pyxet.XetFS(endpoint=(tmp_path / "store").as_uri())
    fs.make_repo("local/corpus")
    fs.rm("local/corpus/main/.gitattributes")
    before = commits(fs, "local/corpus/main")
    ingest(SourceFileSystem(FILES, str(notes)), fs, "local/corpus/main", engine="dask", client=client, journal=journal)
    assert_copied(fs, FILES, "local/corpus/main")
    assert commits(fs, "local/corpus/main") == before + 1


def test_an_endpoint_that_behaves_like_the_hub(client: distributed.Client, notes: Path, journal: Path) -> None:
    """Workers are processes of their own, which know of the quota that they share by answers only."""
    # The commit of 61 files is answered with 504, and completed afterwards.
    behaviour = HubBehaviour(
        api=12, resolvers=12, pages=12, window=1, commit_timeout=0.6, commit_seconds_per_file=0.012, token_life=5,
        url_life=4, latency=0.003,
    )  # fmt: skip
    with local_endpoint(like_hub=behaviour) as hub:
        fs = pyxet.XetFS(hub.url, hub.user, hub.token)
        fs.make_repo("test/corpus")
        fs.rm("test/corpus/main/.gitattributes")
        before = commits(fs, "test/corpus/main")
        report = ingest(
            SourceFileSystem(FILES, str(notes)), fs, "test/corpus/main", engine="dask", client=client, journal=journal
        )
        assert (report.files, report.failed) == (len(FILES), 0)
        assert_copied(fs, FILES, "test/corpus/main")
        assert commits(fs, "test/corpus/main") == before + 1


def test_a_driver_that_is_killed(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, notes: Path, journal: Path
) -> None:
    check_a_kill_of_the_driver("dask", shared_endpoint, xet, main, notes, journal)
