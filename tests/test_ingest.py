"""Ingests in this process. Those of dask and ray are in ``tests/integrations``."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fsspec
import pytest
from _faults import FaultProxy, answer
from _pages import DOCS, blocks, run_page, titanic
from _sources import SourceFileSystem, content_of
from fsspec.callbacks import Callback

import pyxet
from pyxet import (
    AsyncXetFileSystem,
    AuthenticationError,
    ConfigError,
    EditConflictError,
    IngestError,
    IngestReport,
    RetryPolicy,
    RevisionNotFoundError,
    XetFS,
    XetURLError,
)
from pyxet.ingestion.plan import SourceFile, batches
from pyxet.testing import LocalEndpoint

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder for state."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


def tree(count: int = 30, *, large: int = 2) -> dict[str, int]:
    """Paths and sizes of small files in some folders, and of large ones."""
    small = {f"tree/{number % 3}/{number:03}.bin": 1000 + number for number in range(count)}
    return small | {f"tree/large/{number}.bin": 3 * MIB + number for number in range(large)}


def ids(fs: XetFS, branch: str) -> list[str]:
    return [commit.id for commit in fs.log(branch)]


def assert_copied(fs: XetFS, files: dict[str, int], folder: str) -> None:
    there = fs.find(folder, detail=True)
    assert {name.removeprefix(f"{folder}/"): info["size"] for name, info in there.items()} == {
        path.removeprefix("tree/"): size for path, size in files.items()
    }
    for name in there:
        path = "tree/" + name.removeprefix(f"{folder}/")
        assert fs.cat_file(name) == content_of(path, files[path]), path


# -- what is copied ----------------------------------------------------------------------------------------------------


def test_a_local_tree(xet: XetFS, main: str, tmp_path: Path) -> None:
    contents = {
        "a.bin": os.urandom(1000),
        "folder/b.bin": os.urandom(3 * MIB),
        "folder/below/text.txt": b"text\n",
        "folder/empty": b"",
        "name with blank, [magic]*?.bin": os.urandom(10),
        "später/ß.bin": os.urandom(20),
    }
    for name, data in contents.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(data)
    (tmp_path / "tree/nothing in it").mkdir()
    before = ids(xet, main)
    report = pyxet.ingest(tmp_path / "tree", f"{main}/raw", fs=xet, message="Raw data")
    assert (report.files, report.failed, report.failures) == (len(contents), 0, ())
    assert report.bytes == sum(map(len, contents.values()))
    assert (report.resumed_files, report.resumed_bytes) == (0, 0)
    assert ids(xet, main) == [report.commits[0].id, *before]
    assert report.commits[0].message == "Raw data"
    assert {name.removeprefix(f"{main}/raw/"): xet.cat_file(name) for name in xet.find(f"{main}/raw")} == contents


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_url_and_the_top_of_a_branch(xet: XetFS, main: str, tmp_path: Path, slash: str) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/corpus/a": b"\0a", "/corpus/b/c": b"\0c"})
    try:
        pyxet.ingest(f"memory://corpus{slash}", f"xet://{main}{slash}", fs=xet)
    finally:
        memory.rm("/corpus", recursive=True)
    assert xet.cat(f"{main}/*", recursive=True) == {f"{main}/a": b"\0a", f"{main}/b/c": b"\0c"}


def test_one_file(xet: XetFS, main: str, tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(b"\0one")
    report = pyxet.ingest(tmp_path / "one.bin", f"{main}/raw", fs=xet)
    assert report.files == 1
    assert xet.cat_file(f"{main}/raw/one.bin") == b"\0one"


def test_from_a_repository_to_another(xet: XetFS, repo: str, main: str) -> None:
    xet.make_branch(repo, "main", "other")
    xet.pipe({f"{main}/tree/{number}": os.urandom(size) for number, size in enumerate([0, 10, 2 * MIB])})
    report = pyxet.ingest(f"{main}/tree", f"{repo}/other/copy", source_fs=xet, fs=xet)
    assert (report.files, report.stored_bytes) == (3, 0)
    assert list(xet.cat(f"{repo}/other/copy/*").values()) == list(xet.cat(f"{main}/tree/*").values())


def test_nothing(xet: XetFS, main: str, tmp_path: Path) -> None:
    before = ids(xet, main)
    report = pyxet.ingest(tmp_path, main, fs=xet, journal=tmp_path.parent / f"{tmp_path.name}.sqlite")
    assert (report.files, report.bytes, report.commits) == (0, 0, ())
    assert ids(xet, main) == before


def test_links(xet: XetFS, main: str, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "folder").mkdir(parents=True)
    (source / "file").write_bytes(b"\0file")
    (source / "to a file").symlink_to(source / "file")
    (source / "to a folder").symlink_to(source / "folder")
    (source / "to nothing").symlink_to(source / "nothing")
    os.mkfifo(source / "pipe")
    report = pyxet.ingest(source, main, fs=xet, on_error="skip")
    assert sorted(xet.find(main)) == [f"{main}/file", f"{main}/to a file"]
    failures = {failure.path: failure.error for failure in report.failures}
    assert failures.keys() == {"to a folder", "to nothing", "pipe"}
    assert "link to a folder" in failures["to a folder"]
    assert "not a regular file" in failures["pipe"]
    assert report.failed == 3


def test_names_that_a_repository_cannot_have(xet: XetFS, main: str, notes: Path) -> None:
    source = SourceFileSystem({"tree/a": 10, "tree/.git/config": 10}, str(notes))
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet, on_error="skip")
    assert [failure.path for failure in report.failures] == [".git/config"]
    assert "XetURLError" in report.failures[0].error
    assert xet.find(main) == [f"{main}/a"]


def test_names_that_the_endpoint_refuses(xet: XetFS, main: str, notes: Path) -> None:
    refused = {"tree/1/back\\slash": 10, f"tree/2/{'long' * 100}": 2000}
    source = SourceFileSystem(tree(20, large=1) | refused, str(notes))
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet, on_error="skip", batch_files=10)
    assert sorted(failure.path for failure in report.failures) == sorted(name[5:] for name in refused)
    assert all("BadRequestError" in failure.error for failure in report.failures)
    assert_copied(xet, tree(20, large=1), main)
    with pytest.raises(IngestError, match="2 files"):
        pyxet.ingest("tree", main, source_fs=source, fs=xet)


@pytest.mark.skipif(sys.platform == "darwin", reason="names are text there")
def test_names_that_are_no_text(xet: XetFS, main: str, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / os.fsdecode(b"folder \xff")).mkdir(parents=True)
    for name in (b"a", b"bad \xff", b"folder \xff/b"):
        Path(os.fsdecode(os.fsencode(source) + b"/" + name)).write_bytes(b"\0" + name)
    report = pyxet.ingest(source, main, fs=xet, on_error="skip")
    assert xet.find(main) == [f"{main}/a"]
    assert sorted(failure.path for failure in report.failures) == [r"bad \udcff", r"folder \udcff/b"]
    assert all("UTF-8" in failure.error for failure in report.failures)
    with pytest.raises(IngestError, match=r"\\udcff"):
        pyxet.ingest(source, main, fs=xet)


def test_what_is_known_is_saved(xet: XetFS, main: str, tmp_path: Path) -> None:
    data = os.urandom(3 * MIB)
    for name in "abc":
        (tmp_path / "tree" / name).mkdir(parents=True)
        (tmp_path / "tree" / name / "same.bin").write_bytes(data)
    xet.pipe_file(f"{main}/known", data)
    report = pyxet.ingest(tmp_path / "tree", f"{main}/raw", fs=xet)
    assert report.stored_bytes == 0
    assert report.saved_bytes == report.bytes == 9 * MIB


def test_large_and_small_batches(xet: XetFS, main: str, notes: Path) -> None:
    files = tree()
    source = SourceFileSystem(files, str(notes))
    report = pyxet.ingest("tree", f"{main}/a", source_fs=source, fs=xet, batch_files=7, batch_bytes=MIB)
    assert report.files == len(files)
    assert len(report.commits) == 1
    assert_copied(xet, files, f"{main}/a")


def test_batches_are_bounded_by_number_and_by_bytes() -> None:
    def files(*sizes: int | None) -> list[SourceFile]:
        return [SourceFile(str(number), str(number), size, "") for number, size in enumerate(sizes)]

    def made(*sizes: int | None, most_files: int = 3, most_bytes: int = 100) -> list[list[int | None]]:
        found = list(batches(iter(files(*sizes)), most_files=most_files, most_bytes=most_bytes))
        assert [file for batch in found for file in batch.files] == files(*sizes)
        return [[file.size for file in batch.files] for batch in found]

    assert made() == []
    assert made(1, 1, 1, 1) == [[1, 1, 1], [1]]
    assert made(50, 50, 1) == [[50, 50], [1]]
    assert made(200, 1, 200) == [[200], [1], [200]]
    assert made(None, None, 100, None) == [[None, None, 100], [None]]


# -- resuming ----------------------------------------------------------------------------------------------------------


def test_again_nothing_is_read_and_nothing_committed(xet: XetFS, main: str, notes: Path) -> None:
    files = tree()
    source = SourceFileSystem(files, str(notes))
    pyxet.ingest("tree", main, source_fs=source, fs=xet)
    reads, before = source.reads, ids(xet, main)
    assert sorted(reads) == sorted(files)
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet)
    assert source.reads == reads
    assert ids(xet, main) == before
    assert (report.files, report.bytes) == (len(files), sum(files.values()))
    assert (report.resumed_files, report.resumed_bytes) == (len(files), sum(files.values()))
    assert (report.stored_bytes, report.commits) == (0, ())


def test_what_changed_is_read_again_and_what_is_gone_is_not_committed(xet: XetFS, main: str, notes: Path) -> None:
    files = tree()
    pyxet.ingest("tree", main, source_fs=SourceFileSystem(files, str(notes)), fs=xet)
    changed = {path: size + 1 if path.endswith("/003.bin") else size for path, size in files.items()}
    del changed["tree/1/004.bin"]
    xet.rm([f"{main}/1/004.bin", f"{main}/1/007.bin"])
    (notes / "read").unlink()
    source = SourceFileSystem(changed, str(notes))
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet)
    assert source.reads == ["tree/0/003.bin"]
    # What the branch lost is back, without being read.
    assert len(report.commits) == 1
    assert_copied(xet, changed, main)


def test_versions_of_local_files(xet: XetFS, main: str, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    source.mkdir()
    (source / "a").write_bytes(b"\0one")
    pyxet.ingest(source, main, fs=xet)
    (source / "a").write_bytes(b"\0two")  # as many bytes
    report = pyxet.ingest(source, main, fs=xet)
    assert report.resumed_files == 0
    assert xet.cat_file(f"{main}/a") == b"\0two"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_after_a_kill_of_all_that_was_stored_nothing_is_read_again(
    shared_endpoint: LocalEndpoint, xet: XetFS, main: str, notes: Path, state: Path, how: signal.Signals
) -> None:
    files = tree(60, large=0)
    code = (
        "import sys, pyxet\n"
        "from test_ingest import tree\n"
        "from _sources import SourceFileSystem\n"
        "url, token, branch, notes = sys.argv[1:]\n"
        "source = SourceFileSystem(tree(60, large=0), notes, pause=0.05)\n"
        "fs = pyxet.XetFS(endpoint=url, token=token)\n"
        "pyxet.ingest('tree', branch, source_fs=source, fs=fs, batch_files=5)\n"
    )
    arguments = [shared_endpoint.url, shared_endpoint.token, main, str(notes)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    before = ids(xet, main)
    driver = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    source = SourceFileSystem(files, str(notes))
    while len(source.reads) < 30:
        assert driver.poll() is None
        time.sleep(0.01)
    driver.send_signal(how)
    _, said = driver.communicate()
    assert driver.returncode == -how
    assert ("KeyboardInterrupt" in said) == (how is signal.SIGINT)
    assert ids(xet, main) == before
    first = source.reads
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet, batch_files=5)
    again = source.reads[len(first) :]
    assert report.files == len(files)
    assert 0 < report.resumed_files < len(files)
    assert len(again) == len(files) - report.resumed_files
    # What was under way at the kill is read twice: at most the batches that run at once.
    assert len(set(first) & set(again)) <= 15
    assert_copied(xet, files, main)
    assert len(ids(xet, main)) == len(before) + 1


def test_the_journal_is_where_it_says(xet: XetFS, main: str, notes: Path, state: Path, tmp_path: Path) -> None:
    source = SourceFileSystem(tree(3, large=0), str(notes))
    report = pyxet.ingest("tree", f"{main}/a", source_fs=source, fs=xet)
    assert Path(report.journal).parent == state / "xet" / "ingest"
    assert Path(report.journal).is_file()
    other = pyxet.ingest("tree", f"{main}/b", source_fs=source, fs=xet)
    assert other.journal != report.journal
    chosen = tmp_path / "new" / "journal"
    assert pyxet.ingest("tree", f"{main}/b", source_fs=source, fs=xet, journal=chosen).journal == str(chosen)
    assert chosen.is_file()


def test_journals_that_cannot_be_used(xet: XetFS, main: str, notes: Path, tmp_path: Path) -> None:
    source = SourceFileSystem(tree(3, large=0), str(notes))
    journal = tmp_path / "journal"
    pyxet.ingest("tree", f"{main}/a", source_fs=source, fs=xet, journal=journal)
    with pytest.raises(ConfigError, match="another ingest"):
        pyxet.ingest("tree", f"{main}/b", source_fs=source, fs=xet, journal=journal)
    with pytest.raises(ConfigError, match="cannot be used"):
        pyxet.ingest("tree", f"{main}/a", source_fs=source, fs=xet, journal=tmp_path)
    with pytest.raises(ConfigError, match="cannot be used"):
        pyxet.ingest("tree", f"{main}/a", source_fs=source, fs=xet, journal=journal / "below")
    (tmp_path / "text").write_text("no database at all, and long enough to be looked at" * 100)
    with pytest.raises(ConfigError, match="not the journal"):
        pyxet.ingest("tree", f"{main}/a", source_fs=source, fs=xet, journal=tmp_path / "text")

    class Meanwhile(Callback):
        def relative_update(self, inc: int = 1) -> None:
            with pytest.raises(ConfigError, match="is another ingest"):
                pyxet.ingest("tree", f"{main}/a", source_fs=source, fs=xet, journal=journal)
            super().relative_update(inc)

    callback = Meanwhile()
    pyxet.ingest("tree", f"{main}/a", source_fs=source, fs=xet, journal=journal, callback=callback)
    assert callback.value == sum(source.files.values())


# -- failures ----------------------------------------------------------------------------------------------------------

TROUBLE = {
    "tree/1/004.bin": "fails",
    "tree/large/1.bin": "fails",
    "tree/2/005.bin": "is cut",
    "tree/large/0.bin": "is cut",
}


def test_a_failing_file_keeps_all_from_being_committed(xet: XetFS, main: str, notes: Path) -> None:
    files = tree()
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
    files = tree()
    source = SourceFileSystem(files, str(notes), TROUBLE)
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet, on_error="skip")
    assert {f"tree/{failure.path}" for failure in report.failures} == TROUBLE.keys()
    assert report.failed == 4
    assert len(report.commits) == 1
    assert_copied(xet, {path: size for path, size in files.items() if path not in TROUBLE}, main)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_folder_that_cannot_be_listed_is_an_error(xet: XetFS, main: str, notes: Path, on_error: Any) -> None:
    before = ids(xet, main)
    source = SourceFileSystem(tree(), str(notes), {"tree/2": "fails"})
    with pytest.raises(OSError, match="tree/2 cannot be listed"):
        pyxet.ingest("tree", main, source_fs=source, fs=xet, on_error=on_error)
    with pytest.raises(FileNotFoundError):
        pyxet.ingest("nothing", main, source_fs=source, fs=xet, on_error=on_error)
    assert ids(xet, main) == before


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_failing_endpoint_is_no_failing_file(
    shared_endpoint: LocalEndpoint, repo: str, notes: Path, on_error: Any
) -> None:
    source = SourceFileSystem(tree(), str(notes))
    stranger = XetFS(endpoint=shared_endpoint.url, token="wrong")
    with pytest.raises(AuthenticationError):
        pyxet.ingest("tree", f"{repo}/main", source_fs=source, fs=stranger, on_error=on_error)


@pytest.mark.parametrize(("failures", "message"), [(1, None), (9, "500")])
def test_a_batch_at_which_the_endpoint_fails_is_tried_again(
    shared_endpoint: LocalEndpoint, xet: XetFS, main: str, notes: Path, failures: int, message: str | None
) -> None:
    files = tree(10, large=0)
    source = SourceFileSystem(files, str(notes))
    with FaultProxy(shared_endpoint.url) as proxy:
        proxy.rule(r"POST /api/.*/preupload/", answer(500), times=failures)
        fs = XetFS(endpoint=proxy.url, token=shared_endpoint.token, retry=RetryPolicy(attempts=1))
        if message is None:
            assert pyxet.ingest("tree", main, source_fs=source, fs=fs).failed == 0
            assert_copied(xet, files, main)
        else:
            with pytest.raises(pyxet.ServerError, match=message):
                pyxet.ingest("tree", main, source_fs=source, fs=fs)
            assert xet.find(main) == []
        assert proxy.count(r"POST /api/.*/preupload/") == min(failures + 1, 3)
        assert proxy.count(r"POST /api/.*/commit/") == (message is None)


def test_an_interrupted_ingest_commits_nothing_and_can_go_on(xet: XetFS, main: str, notes: Path) -> None:
    class Interrupted(Callback):
        def relative_update(self, inc: int = 1) -> None:
            raise KeyboardInterrupt

    files = tree()
    before = ids(xet, main)
    source = SourceFileSystem(files, str(notes))
    with pytest.raises(KeyboardInterrupt):
        pyxet.ingest("tree", main, source_fs=source, fs=xet, batch_files=5, callback=Interrupted())
    assert ids(xet, main) == before
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet)
    assert report.resumed_files >= 5
    assert_copied(xet, files, main)


def test_what_makes_no_sense(xet: XetFS, shared_endpoint: LocalEndpoint, repo: str, main: str, tmp_path: Path) -> None:
    for options in (
        {"engine": "spark"},
        {"on_error": "ignore"},
        {"batch_files": 0},
        {"batch_bytes": -1},
        {"files_per_commit": 0},
        {"client": "tcp://somewhere"},
        {"source_fs": xet, "source_options": {"a": 1}},
        {"fs": AsyncXetFileSystem(endpoint=shared_endpoint.url, asynchronous=True)},
    ):
        with pytest.raises(ConfigError):
            pyxet.ingest(tmp_path, main, **({"fs": xet} | options))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="nonsense"):
        pyxet.ingest("nonsense://tree", main, fs=xet)
    # Nobody has to wait for an endpoint to hear of that.
    nowhere = XetFS(endpoint="http://localhost:1", token="x")
    for wrong in ({"engine": "spark"}, {"source": "nonsense://tree"}):
        with pytest.raises(ConfigError):
            pyxet.ingest(**({"source": tmp_path, "destination": main, "fs": nowhere} | wrong))  # type: ignore[arg-type]
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


# -- commits and progress ----------------------------------------------------------------------------------------------


def test_several_commits_if_they_are_asked_for(xet: XetFS, main: str, notes: Path) -> None:
    files = tree()
    before = ids(xet, main)
    source = SourceFileSystem(files, str(notes))
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet, files_per_commit=10, message="Part")
    assert [commit.message for commit in report.commits] == ["Part"] * 4
    assert ids(xet, main) == [commit.id for commit in reversed(report.commits)] + before
    assert_copied(xet, files, main)


def test_a_conflict(xet: XetFS, repo: str, main: str, notes: Path) -> None:
    files = tree()
    base = xet.branch_info(repo, "main")["commit"]
    xet.pipe_file(f"{main}/2/005.bin", b"somebody else's")
    source = SourceFileSystem(files, str(notes))
    with pytest.raises(EditConflictError):
        pyxet.ingest("tree", main, source_fs=source, fs=xet, parent_commit=base)
    # With several commits those before the conflict stand, and the report has them.
    with pytest.raises(IngestError, match="a commit failed after 2 were made") as caught:
        pyxet.ingest("tree", main, source_fs=source, fs=xet, parent_commit=base, files_per_commit=10)
    assert len(caught.value.report.commits) == 2
    assert isinstance(caught.value.__cause__, EditConflictError)
    assert xet.cat_file(f"{main}/2/005.bin") == b"somebody else's"
    pyxet.ingest("tree", main, source_fs=source, fs=xet)
    assert_copied(xet, files, main)


def test_in_a_transaction(xet: XetFS, main: str, notes: Path) -> None:
    files = tree()
    before = ids(xet, main)
    with xet.transaction(message="both") as tr:
        report = pyxet.ingest("tree", f"{main}/raw", source_fs=SourceFileSystem(files, str(notes)), fs=xet)
        xet.pipe_file(f"{main}/about", b"about")
        assert report.commits == ()
        assert ids(xet, main) == before
    assert ids(xet, main) == [tr.commits[0].id, *before]
    assert_copied(xet, files, f"{main}/raw")


def test_what_an_earlier_run_stored_is_gone(
    xet: XetFS, main: str, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SourceFileSystem(tree(3, large=0), str(notes))
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet)
    xet.rm(f"{main}/0", recursive=True)
    lost = subprocess.run(
        [sys.executable, "-c", _LOSE, report.journal], check=True, capture_output=True, text=True
    ).stdout  # fmt: skip
    assert lost.split() == ["3"]
    with pytest.raises(IngestError, match="delete the journal") as caught:
        pyxet.ingest("tree", main, source_fs=source, fs=xet)
    assert report.journal in str(caught.value)
    Path(report.journal).unlink()
    assert len(pyxet.ingest("tree", main, source_fs=source, fs=xet).commits) == 1


# As if the endpoint had collected it as garbage: it never had content of this SHA-256.
_LOSE = """
import json, sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    rows = database.execute("SELECT name, pointer FROM files").fetchall()
    for name, pointer in rows:
        lost = json.dumps(json.loads(pointer) | {"sha256": name.encode().hex().ljust(64, "0")})
        database.execute("UPDATE files SET pointer = ? WHERE name = ?", (lost, name))
    print(len(rows))
database.close()
"""


def test_progress_counts_bytes(xet: XetFS, main: str, notes: Path) -> None:
    files = tree()
    callback = Callback()
    source = SourceFileSystem(files, str(notes))
    pyxet.ingest("tree", main, source_fs=source, fs=xet, callback=callback, batch_files=10)
    assert (callback.size, callback.value) == (sum(files.values()), sum(files.values()))
    again = Callback()
    pyxet.ingest("tree", main, source_fs=source, fs=xet, callback=again)
    assert (again.size, again.value) == (sum(files.values()), sum(files.values()))


def test_a_report_never_says_that_less_than_nothing_was_saved() -> None:
    report = IngestReport(1, 10, 0, 0, stored_bytes=18, failed=0, failures=(), commits=(), journal="")
    assert report.saved_bytes == 0


def test_an_embedded_endpoint(tmp_path: Path, notes: Path) -> None:
    files = tree(5, large=1)
    fs = XetFS(endpoint=(tmp_path / "store").as_uri())
    fs.make_repo("local/corpus")
    pyxet.ingest("tree", "local/corpus/main", source_fs=SourceFileSystem(files, str(notes)), fs=fs)
    assert_copied(fs, files, "local/corpus/main")


def test_the_page(shared_endpoint: LocalEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = DOCS / "integrations" / "ingest.md"
    with titanic(shared_endpoint, tmp_path, monkeypatch) as names:
        assert len(blocks(page)) == 4
        try:
            run_page(page, names)
        finally:
            fsspec.filesystem("memory").rm("/bucket", recursive=True)
        fs = names["fs"]
        assert names["report"].files == 100
        assert fs.cat_file("acme/titanic/main/up/19.bin") == b"\0\x13"
        assert not fs.exists("acme/titanic/main/raw/2026/000.bin")
        assert fs.cat_file("acme/titanic/main/from-memory/a.bin") == b"\0\1"
