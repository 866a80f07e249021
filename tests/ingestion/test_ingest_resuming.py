"""Ingests that begin again: what is read again and what is not, and the journal that knows it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fsspec.callbacks import Callback
from support.history import ids
from support.sources import SourceFileSystem, assert_copied, source_tree

import pyxet
from pyxet import ConfigError, IngestError, XetFS
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("state")


def test_again_nothing_is_read_and_nothing_committed(xet: XetFS, main: str, notes: Path) -> None:
    files = source_tree()
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
    files = source_tree()
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


@pytest.mark.needs("signals")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_after_a_kill_of_all_that_was_stored_nothing_is_read_again(
    shared_endpoint: LocalEndpoint, xet: XetFS, main: str, notes: Path, state: Path, how: str
) -> None:
    files = source_tree(60, large=0)
    code = (
        "import sys, pyxet\n"
        "from support.sources import SourceFileSystem, source_tree\n"
        "url, token, branch, notes = sys.argv[1:]\n"
        "files = source_tree(60, large=0)\n"
        "source = SourceFileSystem(files, notes, {path: 'waits' for path in files if path.startswith('tree/2/')})\n"
        "fs = pyxet.XetFS(endpoint=url, token=token)\n"
        "pyxet.ingest('tree', branch, source_fs=source, fs=fs, batch_files=5)\n"
    )
    arguments = [shared_endpoint.url, shared_endpoint.token, main, str(notes)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    before = ids(xet, main)
    driver = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    source = SourceFileSystem(files, str(notes))
    # Two thirds of the files are read, which is more than what may be under way; the others wait.
    while len(source.reads) < 40:
        assert driver.poll() is None
        time.sleep(0.01)
    driver.send_signal(signal.Signals[how])
    (notes / "go").touch()
    _, said = driver.communicate()
    assert driver.returncode == -signal.Signals[how]
    assert ("KeyboardInterrupt" in said) == (how == "SIGINT")
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


def test_an_interrupted_ingest_commits_nothing_and_can_go_on(xet: XetFS, main: str, notes: Path) -> None:
    class Interrupted(Callback):
        def relative_update(self, inc: int = 1) -> None:
            raise KeyboardInterrupt

    files = source_tree()
    before = ids(xet, main)
    source = SourceFileSystem(files, str(notes))
    with pytest.raises(KeyboardInterrupt):
        pyxet.ingest("tree", main, source_fs=source, fs=xet, batch_files=5, callback=Interrupted())
    assert ids(xet, main) == before
    report = pyxet.ingest("tree", main, source_fs=source, fs=xet)
    assert report.resumed_files >= 5
    assert_copied(xet, files, main)


# -- journals ----------------------------------------------------------------------------------------------------------


def test_the_journal_is_where_it_says(xet: XetFS, main: str, notes: Path, state: Path, tmp_path: Path) -> None:
    source = SourceFileSystem(source_tree(3, large=0), str(notes))
    report = pyxet.ingest("tree", f"{main}/a", source_fs=source, fs=xet)
    assert Path(report.journal).parent == state / "xet" / "ingest"
    assert Path(report.journal).is_file()
    other = pyxet.ingest("tree", f"{main}/b", source_fs=source, fs=xet)
    assert other.journal != report.journal
    chosen = tmp_path / "new" / "journal"
    assert pyxet.ingest("tree", f"{main}/b", source_fs=source, fs=xet, journal=chosen).journal == str(chosen)
    assert chosen.is_file()


def test_journals_that_cannot_be_used(xet: XetFS, main: str, notes: Path, tmp_path: Path) -> None:
    source = SourceFileSystem(source_tree(3, large=0), str(notes))
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


def test_what_an_earlier_run_stored_is_gone(
    xet: XetFS, main: str, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SourceFileSystem(source_tree(3, large=0), str(notes))
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
