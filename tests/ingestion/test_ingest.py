"""Ingests in this process: what is copied, in which commits, and what is told. Those of dask and ray are in ``tests/integrations``."""

from __future__ import annotations

import glob
import os
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.callbacks import Callback
from support.history import ids
from support.sources import SourceFileSystem, assert_copied, source_tree

import pyxet
from pyxet import EditConflictError, IngestError, IngestReport, XetFS
from pyxet.ingestion.plan import SourceFile, batches

pytestmark = pytest.mark.usefixtures("state")

MIB = 1024 * 1024


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


class FoldersOnly(SourceFileSystem):
    """Lists folders and nothing else, as SFTP servers do."""

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        if self._strip_protocol(path) in self.files:
            raise NotADirectoryError(path)
        return super().ls(path, detail, **kwargs)


def test_one_file_of_a_system_that_lists_no_files(xet: XetFS, main: str, notes: Path) -> None:
    source = FoldersOnly({"top/a": 1000}, str(notes))
    assert pyxet.ingest("top/a", f"{main}/raw", source_fs=source, fs=xet).files == 1
    assert xet.info(f"{main}/raw/a")["size"] == 1000


def test_from_a_repository_to_another(xet: XetFS, repo: str, main: str) -> None:
    xet.make_branch(repo, "main", "other")
    xet.pipe({f"{main}/tree/{number}": os.urandom(size) for number, size in enumerate([0, 10, 2 * MIB])})
    report = pyxet.ingest(f"{main}/tree", f"{repo}/other/copy", source_fs=xet, fs=xet)
    assert (report.files, report.stored_bytes) == (3, 0)
    copies, originals = (xet.cat(xet.find(folder)) for folder in (f"{repo}/other/copy", f"{main}/tree"))
    assert list(copies.values()) == list(originals.values())


def test_nothing(xet: XetFS, main: str, tmp_path: Path) -> None:
    before = ids(xet, main)
    report = pyxet.ingest(tmp_path, main, fs=xet, journal=tmp_path.parent / f"{tmp_path.name}.sqlite")
    assert (report.files, report.bytes, report.commits) == (0, 0, ())
    assert ids(xet, main) == before


@pytest.mark.needs("fifos", "links")
def test_links(xet: XetFS, main: str, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "folder").mkdir(parents=True)
    (source / "file").write_bytes(b"\0file")
    (source / "to a file").symlink_to(source / "file")
    (source / "to a folder").symlink_to(source / "folder")
    (source / "to nothing").symlink_to(source / "nothing")
    os.mkfifo(source / "pipe")
    (source / "folder" / "inside").write_bytes(b"inside")
    (source / "folder" / "back").symlink_to(source)
    (source / ".git").mkdir()
    (source / ".git" / "HEAD").write_bytes(b"ref: refs/heads/main")
    with pytest.warns(pyxet.PyxetWarning) as told:
        report = pyxet.ingest(source, main, fs=xet, on_error="skip")
    left_out = {str(warning.message).partition(" is left out")[0] for warning in told}
    assert left_out == {f"'{source}/{name}'" for name in (".git", "folder/back", "to a folder/back")}
    files = ["file", "folder/inside", "to a file", "to a folder/inside"]
    assert sorted(xet.find(main)) == [f"{main}/{name}" for name in files]
    failures = {failure.path: failure.error for failure in report.failures}
    assert failures.keys() == {"to nothing", "pipe"}
    with pytest.warns(pyxet.PyxetWarning, match="git"):
        report = pyxet.ingest(source, f"{main}/again", fs=xet, on_error="skip", follow_links=False)
    assert sorted(xet.find(f"{main}/again")) == [f"{main}/again/{name}" for name in files[:3]]
    failures = {failure.path: failure.error for failure in report.failures if failure.path != "folder/back"}
    assert failures.keys() == {"to a folder", "to nothing", "pipe"}
    assert "link to a folder" in failures["to a folder"]
    assert "not a regular file" in failures["pipe"]
    assert report.failed == 4


def test_the_source_is_a_name(xet: XetFS, main: str, tmp_path: Path) -> None:
    for name in ("data[1]", "data1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(name.encode())
    pyxet.ingest(tmp_path / "data[1]", f"{main}/known", fs=xet)
    pyxet.ingest(glob.escape(f"{tmp_path}/data[1]"), f"{main}/escaped", fs=xet)
    assert xet.find(main) == [f"{main}/{place}/data[1]" for place in ("escaped", "known")]


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
    files = source_tree()
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


def test_an_embedded_endpoint(tmp_path: Path, notes: Path) -> None:
    files = source_tree(5, large=1)
    fs = XetFS(endpoint=(tmp_path / "store").as_uri())
    fs.make_repo("local/corpus")
    fs.rm("local/corpus/main/.gitattributes")
    pyxet.ingest("tree", "local/corpus/main", source_fs=SourceFileSystem(files, str(notes)), fs=fs)
    assert_copied(fs, files, "local/corpus/main")


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_that_a_repository_cannot_have(xet: XetFS, main: str, notes: Path) -> None:
    source = SourceFileSystem({"tree/a": 10, "tree/b\0": 10, "tree/.git/config": 10}, str(notes))
    with pytest.warns(pyxet.PyxetWarning, match=r"tree/\.git' is left out"):
        report = pyxet.ingest("tree", main, source_fs=source, fs=xet, on_error="skip")
    assert [failure.path for failure in report.failures] == ["b\0"]
    assert "XetURLError" in report.failures[0].error
    assert xet.find(main) == [f"{main}/a"]


def test_names_that_the_endpoint_refuses(xet: XetFS, main: str, notes: Path) -> None:
    refused = {"tree/1/git~1": 10, f"tree/2/{'long' * 100}": 2000}
    source = SourceFileSystem(source_tree(20, large=1) | refused, str(notes))
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet, on_error="skip", batch_files=10)
    assert sorted(failure.path for failure in report.failures) == sorted(name[5:] for name in refused)
    assert all("BadRequestError" in failure.error for failure in report.failures)
    assert_copied(xet, source_tree(20, large=1), main)
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


# -- commits and progress ----------------------------------------------------------------------------------------------


def test_several_commits_if_they_are_asked_for(xet: XetFS, main: str, notes: Path) -> None:
    files = source_tree()
    before = ids(xet, main)
    source = SourceFileSystem(files, str(notes))
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet, files_per_commit=10, message="Part")
    assert [commit.message for commit in report.commits] == ["Part"] * 4
    assert ids(xet, main) == [commit.id for commit in reversed(report.commits)] + before
    assert_copied(xet, files, main)


def test_a_conflict(xet: XetFS, repo: str, main: str, notes: Path) -> None:
    files = source_tree()
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
    files = source_tree()
    before = ids(xet, main)
    with xet.transaction(message="both") as tr:
        report = pyxet.ingest("tree", f"{main}/raw", source_fs=SourceFileSystem(files, str(notes)), fs=xet)
        xet.pipe_file(f"{main}/about", b"about")
        assert report.commits == ()
        assert ids(xet, main) == before
    assert ids(xet, main) == [tr.commits[0].id, *before]
    assert_copied(xet, files, f"{main}/raw")


def test_progress_counts_bytes(xet: XetFS, main: str, notes: Path) -> None:
    files = source_tree()
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


def test_conditions_of_an_ingest(xet: XetFS, main: str, notes: Path) -> None:
    files = source_tree()
    source = SourceFileSystem(files, str(notes))
    xet.pipe_file(f"{main}/2/005.bin", b"somebody else's")
    version = xet.info(f"{main}/2/005.bin")["blob_id"]
    with pytest.raises(FileExistsError, match=r"2/005\.bin"):
        pyxet.ingest("tree", main, source_fs=source, fs=xet, mode="create")
    with pytest.raises(EditConflictError, match=r"2/005\.bin"):
        pyxet.ingest("tree", main, source_fs=source, fs=xet, if_match={f"{main}/2/005.bin": "0" * 40})
    for options in ({"mode": "creat"}, {"parent_commit": "main"}, {"if_match": version, "files_per_commit": 10}):
        with pytest.raises(ValueError, match=r"creat|full commit id|one commit"):
            pyxet.ingest("tree", main, source_fs=source, fs=xet, **options)
    assert xet.find(main) == [f"{main}/2/005.bin"]
    last: dict[str, Any] = {"if_match": {f"{main}/2/005.bin": version}, "commit_message": "In"}
    pyxet.ingest("tree", main, source_fs=source, fs=xet, **last)
    assert_copied(xet, files, main)
    assert xet.log(main)[0].message == "In"
