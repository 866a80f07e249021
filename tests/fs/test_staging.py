"""Content that is stored in one process or call, and committed in another."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fsspec.callbacks import Callback
from support.contents import content
from support.history import ids

import pyxet
from pyxet import (
    AsyncXetFileSystem,
    BadRequestError,
    ConfigError,
    EditConflictError,
    IntegrityError,
    NotFoundError,
    RemoteError,
    RevisionNotFoundError,
    XetFS,
    XetURLError,
)
from pyxet._async.endpoint.cas import Cas
from pyxet.testing import LocalEndpoint, local_endpoint
from pyxet.types import FilePointer

MIB = 1024 * 1024


def noise(size: int, seed: int = 0) -> bytes:
    return content(seed, size)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many xorbs and shards go to the endpoint."""
    counted: Counter[str] = Counter()
    for name in ("upload_xorb", "upload_shard"):
        original = getattr(Cas, name)

        async def upload(self: Cas, data: object, name: str = name, original: object = original) -> object:
            counted[name] += 1
            return await original(self, data)  # type: ignore[operator]

        monkeypatch.setattr(Cas, name, upload)
    return counted


# -- one file ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, MIB, 3 * MIB + 7])
@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "path", "name", "file", "named file"])
def test_what_is_staged_is_what_is_read_after_the_commit(
    xet: XetFS, main: str, tmp_path: Path, size: int, kind: str
) -> None:
    data = noise(size)
    local = tmp_path / "local.bin"
    local.write_bytes(data)
    with local.open("rb") as opened:
        sources: dict[str, Any] = {
            "bytes": data,
            "bytearray": bytearray(data),
            "memoryview": memoryview(data),
            "path": local,
            "name": str(local),
            "file": io.BytesIO(data),
            "named file": opened,
        }
        before = ids(xet, main)
        pointer = xet.stage(sources[kind], f"{main}/up/1.bin")
    assert pointer.size == size
    assert pointer.sha256 == hashlib.sha256(data).hexdigest()
    assert (pointer.branch, pointer.path, pointer.full_path) == (main, "up/1.bin", f"{main}/up/1.bin")
    assert pointer.endpoint == xet.endpoint
    assert ids(xet, main) == before
    assert not xet.exists(f"{main}/up/1.bin")
    commit = xet.commit(main, [pointer], message="one file")
    assert commit is not None
    assert ids(xet, main) == [commit.id, *before]
    assert commit.message == "one file"
    assert xet.cat_file(f"{main}/up/1.bin") == data
    info = xet.info(f"{main}/up/1.bin")
    assert info.get("xet_hash") == pointer.xet_hash


def test_a_file_object_is_read_from_where_it_stands(xet: XetFS, main: str) -> None:
    file = io.BytesIO(b"\0header" + noise(100))
    file.seek(7)
    assert xet.stage(file, f"{main}/a").size == 100


def test_small_text_comes_along_as_the_endpoint_wants_it_in_the_commit(xet: XetFS, main: str) -> None:
    pointer = xet.stage(b"some text\n", f"{main}/README.md")
    assert (pointer.data, pointer.xet_hash, pointer.stored_bytes) == (b"some text\n", None, 0)
    xet.commit(main, [pointer])
    assert xet.info(f"{main}/README.md").get("xet_hash") is None
    assert xet.cat_file(f"{main}/README.md") == b"some text\n"
    assert b"some text" not in repr(pointer).encode()


def test_stored_bytes_are_those_that_are_new(xet: XetFS, main: str) -> None:
    data = os.urandom(5 * MIB)
    first = xet.stage(data, f"{main}/a.bin")
    again = xet.stage(data, f"{main}/b.bin")
    longer = xet.stage(data + os.urandom(MIB), f"{main}/c.bin")
    assert len(data) <= first.stored_bytes <= len(data) + MIB // 64
    assert again.stored_bytes == 0
    assert MIB <= longer.stored_bytes <= MIB + MIB // 2
    zeros = xet.stage(bytes(5 * MIB), f"{main}/zeros.bin")
    assert zeros.stored_bytes < MIB // 16


def test_pointers_travel(xet: XetFS, main: str) -> None:
    for data in (noise(2 * MIB), b"text"):
        pointer = xet.stage(data, f"{main}/a")
        assert pickle.loads(pickle.dumps(pointer)) == pointer
        assert msgspec.json.decode(msgspec.json.encode(pointer), type=FilePointer) == pointer
        assert len(pickle.dumps(pointer)) < 1000
        with pytest.raises(AttributeError):
            pointer.path = "b"  # type: ignore[misc]


def test_a_known_sha256_is_believed_of_large_and_compared_for_small_content(xet: XetFS, main: str) -> None:
    for size in (10, 2 * MIB):
        data = os.urandom(size)
        sha256 = hashlib.sha256(data).hexdigest()
        assert xet.stage(data, f"{main}/a.bin", sha256=sha256).sha256 == sha256
    with pytest.raises(IntegrityError, match=r"a\.bin: the SHA-256"):
        xet.stage(noise(10), f"{main}/a.bin", sha256="0" * 64)
    with pytest.raises(RemoteError, match="another sha256"):  # this endpoint does not believe it
        xet.stage(os.urandom(2 * MIB), f"{main}/a.bin", sha256="0" * 64)
    for wrong in ("", "0" * 63, "G" * 64, "A" * 64):
        with pytest.raises(ConfigError, match="64 hexadecimal"):
            xet.stage(b"", f"{main}/a.bin", sha256=wrong)


def test_where_nothing_can_be_staged(xet: XetFS, repo: str, main: str, tmp_path: Path) -> None:
    with pytest.raises(RevisionNotFoundError, match="make_branch"):
        xet.stage(b"a", f"{repo}/nowhere/a")
    with pytest.raises(XetURLError, match="path of a file"):
        xet.stage(b"a", main)
    with pytest.raises(FileNotFoundError):
        xet.stage(tmp_path / "nothing", f"{main}/a")
    with pytest.raises(XetURLError, match="another endpoint"):
        xet.stage(b"a", "xet://example.com:acme/x/main/a")


def test_a_source_that_fails_stages_nothing(xet: XetFS, main: str) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        xet.stage(Broken(), f"{main}/a")


def test_staging_counts_bytes(xet: XetFS, main: str, tmp_path: Path) -> None:
    local = tmp_path / "local"
    for size in (100, 3 * MIB):
        local.write_bytes(noise(size))
        for source in (noise(size), local):
            callback = Callback()
            xet.stage(source, f"{main}/a", callback=callback)
            assert (callback.size, callback.value) == (size, size)


# -- many files --------------------------------------------------------------------------------------------------------


def test_many_small_files_share_a_xorb_and_a_shard(
    xet: XetFS, main: str, tmp_path: Path, sent: Counter[str]
) -> None:  # fmt: skip
    contents = {f"{main}/many/{number:03}.bin": os.urandom(3000) for number in range(300)}
    files = dict(contents)
    local = tmp_path / "local.bin"
    local.write_bytes(contents[f"{main}/many/007.bin"])
    pointers = xet.stage_many(files | {f"{main}/many/007.bin": local, f"{main}/text": b"text"})
    assert sent == {"upload_xorb": 1, "upload_shard": 1}
    assert [pointer.full_path for pointer in pointers] == [*contents, f"{main}/text"]
    assert all(3000 <= pointer.stored_bytes < 3100 for pointer in pointers[:-1])
    assert pointers[-1].data == b"text"
    before = ids(xet, main)
    assert xet.commit(main, iter(pointers)) is not None
    assert len(ids(xet, main)) == len(before) + 1
    assert xet.cat(list(contents)) == contents


def test_of_equal_contents_one_is_stored(xet: XetFS, main: str) -> None:
    data = os.urandom(3000)
    pointers = xet.stage_many({f"{main}/{name}": data for name in "abc"})
    assert sum(pointer.stored_bytes > 0 for pointer in pointers) == 1
    xet.commit(main, pointers)
    assert {xet.cat_file(f"{main}/{name}") for name in "abc"} == {data}


def test_many_count_files_and_bytes(xet: XetFS, main: str) -> None:
    class Counting(Callback):
        def __init__(self) -> None:
            super().__init__()
            self.children: list[Callback] = []

        def branched(self, path_1: str, path_2: str, **kwargs: object) -> Callback:
            self.children.append(Callback())
            return self.children[-1]

    callback = Counting()
    xet.stage_many({f"{main}/{number}": noise(number + 1) for number in range(20)}, callback=callback)
    assert (callback.size, callback.value) == (20, 20)
    assert sum(child.value for child in callback.children) == sum(range(1, 21))


def test_many_are_of_one_branch_and_named_once(xet: XetFS, repo: str, main: str) -> None:
    xet.make_branch(repo, "main", "other")
    with pytest.raises(XetURLError, match="one branch at a time"):
        xet.stage_many({f"{main}/a": b"a", f"{repo}/other/a": b"a"})
    with pytest.raises(XetURLError, match="the same file"):
        xet.stage_many({f"{main}/a": b"a", f"models/{main}/a": b"b"})
    assert xet.stage_many({}) == []


def test_one_of_many_that_fails_fails_all(xet: XetFS, main: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        xet.stage_many({f"{main}/a": b"a", f"{main}/b": tmp_path / "nothing"})
    with pytest.raises(IntegrityError):
        xet.stage_many({f"{main}/a": b"a", f"{main}/b": b"b"}, sha256={f"{main}/b": "0" * 64})


def test_a_sha256_of_many_is_compared_however_its_path_is_written_and_never_ignored(xet: XetFS, main: str) -> None:
    for written in (f"xet://{main}/a", f"models/{main}/a", f"/{main}/a"):
        with pytest.raises(IntegrityError):
            xet.stage_many({f"{main}/a": b"a"}, sha256={written: "0" * 64})
    for files in ({f"{main}/a": b"a"}, {}):
        for other in (f"{main}/A", f"{main}2/a"):
            with pytest.raises(XetURLError, match="not among the files"):
                xet.stage_many(files, sha256={other: "0" * 64})


# -- commits -----------------------------------------------------------------------------------------------------------


def test_a_commit_also_deletes(xet: XetFS, main: str) -> None:
    xet.pipe({f"{main}/old": b"old", f"{main}/kept": b"kept", f"{main}/folder/a": b"a"})
    pointer = xet.stage(noise(10), f"{main}/new")
    xet.commit(main, [pointer], delete=[f"{main}/old", f"xet://{main}/folder/a"])
    assert sorted(xet.find(main)) == [f"{main}/kept", f"{main}/new"]
    assert xet.log(main)[0].message == "Upload new, Delete 2 files"


def test_a_folder_gives_its_name_to_a_file_and_the_other_way_round(xet: XetFS, main: str) -> None:
    xet.pipe({f"{main}/a/b": b"1", f"{main}/c": b"2"})
    pointers = xet.stage_many({f"{main}/a": noise(10), f"{main}/c/d": noise(20)})
    xet.commit(main, pointers, delete=[f"{main}/a/b", f"{main}/c"])
    assert sorted(xet.find(main)) == [f"{main}/a", f"{main}/c/d"]


def test_what_cannot_be_deleted(xet: XetFS, repo: str, main: str) -> None:
    xet.pipe({f"{main}/folder/a": b"a"})
    before = ids(xet, main)
    pointer = xet.stage(noise(10), f"{main}/new")
    with pytest.raises(NotFoundError):
        xet.commit(main, [pointer], delete=[f"{main}/nothing"])
    with pytest.raises(IsADirectoryError):
        xet.commit(main, [pointer], delete=[f"{main}/folder"])
    with pytest.raises(XetURLError):
        xet.commit(main, [pointer], delete=["folder/a"])
    with pytest.raises(XetURLError, match="is not in"):
        xet.commit(main, [pointer], delete=[f"{repo}/other/folder/a"])
    with pytest.raises(BadRequestError, match="twice"):
        xet.commit(main, [xet.stage(b"b", f"{main}/folder/a")], delete=[f"{main}/folder/a"])
    assert ids(xet, main) == before


def test_pointers_of_elsewhere_are_refused(xet: XetFS, repo: str, main: str, tmp_path: Path) -> None:
    xet.make_branch(repo, "main", "other")
    other = f"{repo}-2"
    xet.make_repo(other)
    mine = xet.stage(noise(10), f"{main}/mine")
    before = ids(xet, main)
    for path in (f"{repo}/other/a", f"{other}/main/a"):
        with pytest.raises(XetURLError, match="another branch"):
            xet.commit(main, [mine, xet.stage(noise(11), path)])
    with local_endpoint(root=tmp_path / "second", user="acme") as second:
        fs = XetFS(endpoint=second.url, token=second.token)
        fs.make_repo(repo)
        with pytest.raises(XetURLError, match="another endpoint"):
            xet.commit(main, [mine, fs.stage(noise(11), f"{main}/a")])
    with pytest.raises(TypeError, match="not a FilePointer"):
        xet.commit(main, [mine, f"{main}/a"])  # type: ignore[list-item]
    with pytest.raises(BadRequestError, match="twice"):
        xet.commit(main, [mine, mine])
    with pytest.raises(BadRequestError, match="a file and a folder"):
        xet.commit(main, [mine, replace(mine, path="mine/below")])
    with pytest.raises(BadRequestError, match="was not uploaded"):
        xet.commit(main, [replace(mine, sha256="0" * 64)])
    for wrong in (repo, f"{main}/folder", "acme"):
        with pytest.raises(XetURLError, match="path of a branch"):
            xet.commit(wrong, [mine])
    with pytest.raises(RevisionNotFoundError):
        xet.commit(f"{repo}/nowhere", [replace(mine, branch=f"{repo}/nowhere")])
    assert ids(xet, main) == before


def test_branches_with_slashes(xet: XetFS, repo: str, main: str) -> None:
    xet.make_branch(repo, "main", "feature/x")
    branch = f"{repo}/feature%2Fx"
    pointer = xet.stage(noise(10), f"{branch}/a")
    assert pointer.branch == branch
    assert xet.commit(f"xet://{branch}/", [pointer]) is not None
    assert xet.cat_file(f"{branch}/a") == noise(10)


def test_a_commit_that_is_made_again_is_none(xet: XetFS, main: str) -> None:
    pointers = xet.stage_many({f"{main}/a": noise(10), f"{main}/b": b"text"})
    assert xet.commit(main, pointers) is not None
    before = ids(xet, main)
    assert xet.commit(main, pointers) is None
    assert xet.commit(main, []) is None
    assert ids(xet, main) == before


def test_conflicts(xet: XetFS, main: str) -> None:
    xet.pipe({f"{main}/a": b"1", f"{main}/b": b"1"})
    base = xet.branch_info(main.rpartition("/")[0], "main")["commit"]
    pointer = xet.stage(noise(10), f"{main}/a")
    xet.pipe_file(f"{main}/b", b"2")
    # Another path: no conflict.
    assert xet.commit(main, [pointer], parent_commit=base) is not None
    changed = xet.stage(noise(20), f"{main}/a")
    with pytest.raises(EditConflictError, match="changed since"):
        xet.commit(main, [changed], parent_commit=base)
    with pytest.raises(EditConflictError, match="changed since"):
        xet.commit(main, [], delete=[f"{main}/b"], parent_commit=base)
    # Unguarded, the last writer wins.
    assert xet.commit(main, [changed]) is not None
    assert xet.cat_file(f"{main}/a") == noise(20)


def test_in_a_transaction_it_joins(xet: XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/old", b"old")
    before = ids(xet, main)
    with xet.transaction(message="together") as tr:
        pointers = xet.stage_many({f"{main}/a": noise(2 * MIB), f"{main}/b": b"text"})
        assert not xet.exists(f"{main}/a")
        assert xet.commit(main, pointers, delete=[f"{main}/old"], message="not this one") is None
        xet.pipe_file(f"{main}/c", b"c")
        assert xet.cat_file(f"{main}/a") == noise(2 * MIB)
        assert xet.cat_file(f"{main}/b") == b"text"
        assert not xet.exists(f"{main}/old")
        assert ids(xet, main) == before
    assert [commit.message for commit in tr.commits] == ["together"]
    assert ids(xet, main) == [tr.commits[0].id, *before]
    assert sorted(xet.find(main)) == [f"{main}/{name}" for name in "abc"]
    dropped = xet.start_transaction()
    xet.commit(main, [xet.stage(noise(5), f"{main}/d")])
    xet.cancel_transaction()
    assert dropped.commits == ()
    assert not xet.exists(f"{main}/d")


async def test_awaited(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with AsyncXetFileSystem(
        endpoint=shared_endpoint.url, token=shared_endpoint.token, asynchronous=True
    ) as fs:  # fmt: skip
        pointer = await fs._stage(noise(10), f"{main}/a")
        many = await fs._stage_many({f"{main}/{name}": noise(20) for name in "bc"})
        async with fs.transaction(message="both") as tr:
            await fs._commit(main, [pointer, *many])
        assert len(tr.commits) == 1
        assert await fs._cat_file(f"{main}/a") == noise(10)


def test_workers_stage_and_a_driver_commits(shared_endpoint: LocalEndpoint, xet: XetFS, main: str) -> None:
    code = (
        "import pickle, random, sys, pyxet\n"
        "url, token, path = sys.argv[1:]\n"
        "fs = pyxet.XetFS(endpoint=url, token=token)\n"
        "pointer = fs.stage(random.Random(path).randbytes(2_000_000), path)\n"
        "sys.stdout.buffer.write(pickle.dumps(pointer))\n"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, shared_endpoint.url, shared_endpoint.token, f"{main}/{seed}.bin"],
            stdout=subprocess.PIPE,
        )
        for seed in range(3)
    ]
    before = ids(xet, main)
    pointers = [pickle.loads(worker.communicate()[0]) for worker in workers]
    assert ids(xet, main) == before
    commit = xet.commit(main, pointers, message="from three processes")
    assert commit is not None
    assert ids(xet, main) == [commit.id, *before]
    for seed in range(3):
        assert xet.cat_file(f"{main}/{seed}.bin") == random.Random(f"{main}/{seed}.bin").randbytes(2_000_000)


def test_many_pointers_in_one_commit(xet: XetFS, main: str) -> None:
    """More than are taken from their source at once, more than one look-up and one listing page."""
    pointers = xet.stage_many({f"{main}/{number % 7}/{number}": noise(20, number % 50) for number in range(2500)})
    taken = 0

    def one_by_one() -> object:
        nonlocal taken
        for pointer in pointers:
            taken += 1
            yield pointer

    before = ids(xet, main)
    assert xet.commit(main, one_by_one()) is not None  # type: ignore[arg-type]
    assert taken == 2500
    assert len(ids(xet, main)) == len(before) + 1
    assert len(xet.find(main)) == 2500


def test_the_name_is_public() -> None:
    assert pyxet.FilePointer is FilePointer
