"""The index of the endpoint's content: who holds what, and what the index takes of the system."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from support.raw_client import RawClient
from support.rights import NOISE, fresh

from pyxet.protocol.hashing import hash_from_hex, hash_to_hex
from pyxet.server.index import GRACE, Index
from pyxet.testing import local_endpoint


def descriptors(path: Path) -> int:
    """How many descriptors this process has of a database, its log included."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith(str(path))
        except FileNotFoundError:
            continue
    return found


@pytest.mark.needs("proc")
def test_threads_that_end_leave_no_connection(tmp_path: Path) -> None:
    """A process that embeds an endpoint may ask it on a new thread each time, and has a limit of files."""
    path = tmp_path / "index.sqlite"
    index = Index(path)
    index.forget_holder("models/acme/x")
    before = descriptors(path)
    assert before > 0
    for _ in range(20):
        asking = threading.Thread(target=index.forget_holder, args=("models/acme/x",))
        asking.start()
        asking.join()
    # While others have the database open, SQLite keeps a descriptor for the next one who opens it.
    assert descriptors(path) <= before + 1
    index.close()
    assert descriptors(path) == 0


def test_what_is_not_committed_is_held_for_a_while(tmp_path: Path) -> None:
    now = [time.time()]
    index = Index(tmp_path / "index.sqlite", clock=lambda: now[-1])
    content = fresh()
    index.add_files([content.entry], [hash_from_hex(content.xorb_name)], [], held=[content.entry], repo="acme/x")
    assert index.holders_of_file(content.entry) == {"acme/x"}
    now.append(now[0] + GRACE - 10)
    index.copy_holder("acme/x", "acme/copy")
    assert index.holders_of_file(content.entry) == {"acme/x", "acme/copy"}
    index.add_holders([content.sha256], "acme/copy")
    now.append(now[0] + GRACE + 10)
    assert index.holders_of_file(content.entry) == {"acme/copy"}
    # Uploaded again, and copied from where it is for good.
    index.add_files([], [], [], held=[content.entry], repo="acme/x")
    assert index.holders_of_file(content.entry) == {"acme/copy", "acme/x"}
    index.copy_holder("acme/copy", "acme/x")
    now.append(now[-1] + 2 * GRACE)
    assert index.holders_of_file(content.entry) == {"acme/copy", "acme/x"}
    index.add_files([], [], [], held=[content.entry], repo="acme/x")
    assert index.holders_of_file(content.entry) == {"acme/copy", "acme/x"}
    index.close()


def test_a_store_of_the_first_format_is_brought_up(tmp_path: Path) -> None:
    with local_endpoint(tmp_path / "root", "acme", "t") as endpoint:
        client = RawClient(endpoint, "t")
        client.make_repo("acme/open")
        client.make_repo("acme/closed", private=True)
        made = {repo: client.upload(repo, NOISE.randbytes(200_000)) for repo in ("acme/open", "acme/closed")}
        for repo, content in made.items():
            assert client.commit(repo, content.line("a.bin")).status == 200
    database = sqlite3.connect(tmp_path / "root" / "index.sqlite")
    database.executescript("""
DROP TABLE xorb_holders; DROP TABLE senders; ALTER TABLE holders DROP COLUMN until;
CREATE TABLE old (hash BLOB PRIMARY KEY, shard INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR REPLACE INTO old SELECT hash, shard FROM chunks; DROP TABLE chunks; ALTER TABLE old RENAME TO chunks;
PRAGMA user_version = 1;
""")
    database.close()
    for _ in range(2):
        with local_endpoint(tmp_path / "root", "acme", "t") as endpoint:
            eve = RawClient(endpoint, endpoint.add_token("eve"))
            eve.post("/api/repos/create", {"name": "own"})
            for repo, content in made.items():
                assert RawClient(endpoint, "t").cas(repo).head(f"/v1/files/{content.name}").status == 200
                assert content.xorb is not None
                chunk = hash_to_hex(content.xorb.info.chunks[0].hash)
                found = eve.cas("eve/own").get(f"/v1/chunks/default/{chunk}").status
                assert found == (200 if repo == "acme/open" else 404)
