"""Ingests that fail: at files, at folders, at the endpoint, or at what they are asked for."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from support.faults import answer
from support.history import ids
from support.proxied import proxied
from support.sources import SourceFileSystem, assert_copied, source_tree

import pyxet
from pyxet import (
    AsyncXetFileSystem,
    AuthenticationError,
    ConfigError,
    IngestError,
    RetryPolicy,
    RevisionNotFoundError,
    XetFS,
    XetURLError,
)
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("state")

TROUBLE = {
    "tree/1/004.bin": "fails",
    "tree/large/1.bin": "fails",
    "tree/2/005.bin": "is cut",
    "tree/large/0.bin": "is cut",
}


def test_a_failing_file_keeps_all_from_being_committed(xet: XetFS, main: str, notes: Path) -> None:
    files = source_tree()
    before = ids(xet, main)
    with pytest.raises(IngestError, match=r"4 files of .* could not be copied, so nothing is committed") as caught:
        pyxet.ingest("tree", main, source_fs=SourceFileSystem(files, str(notes), TROUBLE), fs=xet)
    report = caught.value.report
    assert ids(xet, main) == before
    assert (report.files, report.failed, report.commits) == (len(files) - 4, 4, ())
    errors = {f"tree/{failure.path}": failure.error for failure in report.failures}
    assert errors.keys() == TROUBLE.keys()
    assert errors["tree/1/004.bin"] == "OSError: tree/1/004.bin cannot be read"
    assert "1,005 bytes were listed, 1,004 read" in errors["tree/2/005.bin"]
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.report, str(copy)) == (report, str(caught.value))
    # Once they can be read, only they are.
    (notes / "read").unlink()
    mended = SourceFileSystem(files, str(notes))
    assert pyxet.ingest("tree", main, source_fs=mended, fs=xet).resumed_files == len(files) - 4
    assert sorted(mended.reads) == sorted(TROUBLE)
    assert_copied(xet, files, main)


def test_failing_files_are_left_out_if_that_is_asked_for(xet: XetFS, main: str, notes: Path) -> None:
    files = source_tree()
    source = SourceFileSystem(files, str(notes), TROUBLE)
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet, on_error="skip")
    assert {f"tree/{failure.path}" for failure in report.failures} == TROUBLE.keys()
    assert report.failed == 4
    assert len(report.commits) == 1
    assert_copied(xet, {path: size for path, size in files.items() if path not in TROUBLE}, main)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_folder_that_cannot_be_listed_is_an_error(xet: XetFS, main: str, notes: Path, on_error: Any) -> None:
    before = ids(xet, main)
    source = SourceFileSystem(source_tree(), str(notes), {"tree/2": "fails"})
    with pytest.raises(OSError, match="tree/2 cannot be listed"):
        pyxet.ingest("tree", main, source_fs=source, fs=xet, on_error=on_error)
    with pytest.raises(FileNotFoundError):
        pyxet.ingest("nothing", main, source_fs=source, fs=xet, on_error=on_error)
    assert ids(xet, main) == before


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_failing_endpoint_is_no_failing_file(
    shared_endpoint: LocalEndpoint, repo: str, notes: Path, on_error: Any
) -> None:
    source = SourceFileSystem(source_tree(), str(notes))
    stranger = XetFS(endpoint=shared_endpoint.url, token="wrong")
    with pytest.raises(AuthenticationError):
        pyxet.ingest("tree", f"{repo}/main", source_fs=source, fs=stranger, on_error=on_error)


@pytest.mark.parametrize(("failures", "message"), [(1, None), (9, "500")])
def test_a_batch_at_which_the_endpoint_fails_is_tried_again(
    shared_endpoint: LocalEndpoint, xet: XetFS, main: str, notes: Path, failures: int, message: str | None
) -> None:
    files = source_tree(10, large=0)
    source = SourceFileSystem(files, str(notes))
    with proxied(shared_endpoint, retry=RetryPolicy(attempts=1)) as (proxy, fs):
        proxy.rule(r"POST /api/.*/preupload/", answer(500), times=failures)
        if message is None:
            assert pyxet.ingest("tree", main, source_fs=source, fs=fs).failed == 0
            assert_copied(xet, files, main)
        else:
            with pytest.raises(pyxet.ServerError, match=message):
                pyxet.ingest("tree", main, source_fs=source, fs=fs)
            assert xet.find(main) == []
        assert proxy.count(r"POST /api/.*/preupload/") == min(failures + 1, 3)
        assert proxy.count(r"POST /api/.*/commit/") == (message is None)


def test_what_makes_no_sense(xet: XetFS, shared_endpoint: LocalEndpoint, repo: str, main: str, tmp_path: Path) -> None:
    mistakes: list[dict[str, Any]] = [
        {"engine": "spark"},
        {"on_error": "ignore"},
        {"batch_files": 0},
        {"batch_bytes": -1},
        {"files_per_commit": 0},
        {"client": "tcp://somewhere"},
        {"source_fs": xet, "source_options": {"a": 1}},
        {"fs": AsyncXetFileSystem(endpoint=shared_endpoint.url, asynchronous=True)},
    ]
    for options in mistakes:
        with pytest.raises(ConfigError):
            pyxet.ingest(tmp_path, main, **options | {"fs": options.get("fs", xet)})
    with pytest.raises(ConfigError, match="nonsense"):
        pyxet.ingest("nonsense://tree", main, fs=xet)
    # Nobody has to wait for an endpoint to hear of that.
    nowhere = XetFS(endpoint="http://localhost:1", token="x")
    mistakes = [{"engine": "spark"}, {"source": "nonsense://tree"}]
    for wrong in mistakes:
        given: dict[str, Any] = {"source": tmp_path, "destination": main, "fs": nowhere}
        with pytest.raises(ConfigError):
            pyxet.ingest(**given | wrong)
    for destination in ("acme", repo):
        with pytest.raises(XetURLError, match="not in a branch"):
            pyxet.ingest(tmp_path, destination, fs=xet)
    with pytest.raises(XetURLError, match="another endpoint"):
        pyxet.ingest(tmp_path, "xet://example.com:acme/corpus/main", fs=xet)
    with pytest.raises(RevisionNotFoundError, match="make_branch"):
        pyxet.ingest(tmp_path, f"{repo}/nowhere", fs=xet)
    with pytest.raises(pyxet.NotSupportedError):
        pyxet.ingest(tmp_path, f"{repo}/{ids(xet, main)[0]}", fs=xet)


@pytest.mark.parametrize(("engine", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_that_is_not_installed(
    xet: XetFS, main: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf'needs {package}: pip install "pyxet\[{engine}\]"'):
        pyxet.ingest(tmp_path, main, fs=xet, engine=engine)
