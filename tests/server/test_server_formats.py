"""Stores of other formats: older ones are opened and brought up, newer ones are left alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from support import stores
from support.raw_client import RawClient

import pyxet
from pyxet.errors import ConfigError
from pyxet.server.people import PeopleFile
from pyxet.testing import local_endpoint

FORMATS = sorted(int(path.name.split("_")[1].split(".")[0]) for path in stores.DATA.glob("store_*.tar.gz"))


def version(root: Path) -> int:
    database = sqlite3.connect(root / "index.sqlite")
    try:
        return int(database.execute("PRAGMA user_version").fetchone()[0])
    finally:
        database.close()


def content(root: Path) -> dict[str, tuple[int, bytes]]:
    """All files, without the locks that each process makes."""
    return {
        str(path.relative_to(root)): (path.stat().st_mode, path.read_bytes())
        for path in root.rglob("*") if path.is_file() and path.name not in ("lock", "people.lock")
    }  # fmt: skip


def test_the_newest_format_is_among_them(tmp_path: Path) -> None:
    """Who changes the format keeps a store of the one before, see `stores`."""
    with local_endpoint(tmp_path):
        pass
    assert FORMATS[-1] >= version(tmp_path) - 1


@pytest.mark.parametrize("number", FORMATS)
def test_a_store_is_opened_and_brought_up(number: int, tmp_path: Path) -> None:
    stores.unpacked(number, tmp_path / "old")
    with local_endpoint(tmp_path / "new"):
        pass
    for _ in range(2):
        with local_endpoint(tmp_path / "old", stores.USER, stores.TOKEN) as endpoint:
            fs = pyxet.XetFS(endpoint.url, stores.USER, stores.TOKEN)
            for branch, files in stores.FILES.items():
                found = {name: fs.cat(f"{branch}/{name}") for name in files}
                assert found == files
            main = "acme/titanic/main"
            assert [commit.message for commit in fs.log(main) if commit.message in stores.LOG] == stores.LOG
            assert fs.cat("acme/titanic/v1/titanic.csv") == stores.TEXT
            # By its old name, too.
            assert fs.cat("acme/before/main/titanic.csv") == stores.TEXT
            stranger = RawClient(endpoint, endpoint.add_token("eve"))
            assert stranger.get("/api/datasets/acme/closed").status == 404
            assert stranger.get("/api/models/acme/titanic").status == 200
            # What is there is not sent again, and what is new is there.
            fs.pipe(f"{main}/again.bin", stores.LARGE)
            assert fs.cat(f"{main}/again.bin") == stores.LARGE
            fs.rm(f"{main}/again.bin")
            git = subprocess.run(
                ["git", "fsck", "--full", "--strict"], cwd=tmp_path / "old" / "repos" / "models" / "acme" / "titanic.git",
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert (git.returncode, git.stdout) == (0, ""), git.stderr
        assert version(tmp_path / "old") == version(tmp_path / "new")
    people = PeopleFile(tmp_path / "old").current
    assert people.orgs_of("ada") == {"lab": "write"}


@pytest.mark.parametrize("part", ["index", "people"])
def test_a_newer_store_is_refused_unharmed(part: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    stores.unpacked(FORMATS[-1], root)
    if part == "index":
        database = sqlite3.connect(root / "index.sqlite")
        # Another way to keep a journal, as a newer version may like it.
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("PRAGMA user_version = 99")
        database.close()
    else:
        said = json.loads((root / "people.json").read_text())
        (root / "people.json").write_text(json.dumps({**said, "version": 99, "more": True}))
    shutil.copytree(root, tmp_path / "before")
    # What others may see is closed first, whatever is in it.
    for path in (*root.rglob("*"), root, *(tmp_path / "before").rglob("*")):
        path.chmod(path.stat().st_mode & ~0o077)
    for _ in range(2):
        with pytest.raises(ConfigError, match="newer") as caught, local_endpoint(root):
            pass
        assert "update" in str(caught.value)
        assert content(root) == content(tmp_path / "before")
