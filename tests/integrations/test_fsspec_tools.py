"""fsspec's own tools on `xet://`: caches, open_files, rsync, zip files, references, mappings."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.generic import rsync
from support.accounts import account_of
from support.faults import FaultProxy
from support.proxied import proxied

import pyxet
from pyxet.errors import NotFoundError, XetError
from pyxet.testing import LocalEndpoint

RANDOM = random.Random(__name__)
BIG = RANDOM.randbytes(6_000_000)
SMALL = {f"small/{number:03}.bin": RANDOM.randbytes(3000) for number in range(40)}
CONTENT = r"GET /v[12]/(reconstructions|xorbs)"


@pytest.fixture
def through(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str) -> Iterator[tuple[FaultProxy, dict[str, Any]]]:
    """A proxy in front of a repository with a large file and many small ones, and options that lead through it."""
    xet.pipe({f"{main}/big.bin": BIG} | {f"{main}/{name}": content for name, content in SMALL.items()})
    with proxied(shared_endpoint) as (proxy, fs):
        yield proxy, {"endpoint": fs.endpoint, "user": "acme", "token": shared_endpoint.token}


# -- caches ------------------------------------------------------------------------------------------------------------


# fsspec's cache of blocks leaves its local file to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["simplecache", "filecache", "blockcache"])
def test_caches(through: tuple[FaultProxy, dict[str, Any]], main: str, tmp_path: Path, kind: str) -> None:
    proxy, access = through
    url = f"{kind}::xet://{main}/big.bin"
    options: dict[str, Any] = {"xet": access, kind: {"cache_storage": str(tmp_path)}}

    def read() -> None:
        with fsspec.open(url, **options) as file:
            file.seek(3_000_000)
            assert file.read(1000) == BIG[3_000_000:3_001_000]
            file.seek(-10, 2)
            assert file.read() == BIG[-10:]

    read()
    proxy.clear()
    read()
    # From the local copy, without a question.
    assert not proxy.seen
    with pytest.raises(FileNotFoundError):
        fsspec.open(f"{kind}::xet://{main}/nope", **options).open()


@pytest.mark.parametrize("kind", ["simplecache", "filecache"])
def test_caches_of_whole_files_take_them_together(
    through: tuple[FaultProxy, dict[str, Any]], main: str, tmp_path: Path, kind: str
) -> None:
    proxy, access = through
    fs = fsspec.filesystem(kind, target_protocol="xet", target_options=access, cache_storage=str(tmp_path))
    fs.fs.find(main)
    proxy.clear()
    names = [f"{main}/{name}" for name in SMALL]
    assert fs.cat(names) == {f"{main}/{name}": content for name, content in SMALL.items()}
    assert proxy.count(CONTENT) <= 4
    proxy.clear()
    assert list(fs.cat(names).values()) == list(SMALL.values())
    assert proxy.count(CONTENT) == 0


def test_a_cache_that_looks_for_new_versions(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    access = account_of(xet)
    fs = fsspec.filesystem(
        "filecache", target_protocol="xet", target_options=access, cache_storage=str(tmp_path), check_files=True
    )
    xet.pipe_file(f"{main}/x", b"one")
    assert fs.cat_file(f"{main}/x") == b"one"
    # As large as before, and within the same second: only its hash is another.
    xet.pipe_file(f"{main}/x", b"two")
    assert fs.cat_file(f"{main}/x") == b"two"


def test_writing_through_a_cache(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    access = account_of(xet)
    with fsspec.open(
        f"simplecache::xet://{main}/x", "wb", xet=access, simplecache={"cache_storage": str(tmp_path)}
    ) as f:
        f.write(b"written")
    assert xet.cat_file(f"{main}/x") == b"written"
    assert len(xet.log(main)) == 2


# -- several files -----------------------------------------------------------------------------------------------------


def test_open_files(through: tuple[FaultProxy, dict[str, Any]], xet: pyxet.XetFS, main: str) -> None:
    proxy, access = through
    proxy.clear()
    # What the pattern brought is not too old for the reads, however long they take.
    with fsspec.open_files(f"xet://{main}/small/*.bin", **access, listings_expiry_time=3600) as files:
        assert [file.read() for file in files] == list(SMALL.values())
    # The pattern brought all that there is to know of them.
    assert proxy.count(r"POST /api/.*/paths-info/") <= 1
    before = len(xet.log(main))
    with (
        xet.transaction(message="parts"),
        fsspec.open_files(xet.unstrip_protocol(f"{main}/out/*.txt"), "w", num=3, **access | {"endpoint": xet.endpoint}) as files,
    ):  # fmt: skip
        for number, file in enumerate(files):
            file.write(f"part {number}")
    assert len(xet.log(main)) == before + 1
    assert [xet.cat_file(f"{main}/out/{number}.txt") for number in range(3)] == [b"part 0", b"part 1", b"part 2"]


def test_rsync(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    access = account_of(xet)
    options = {"default_method": "options", "storage_options": {"xet": access}}
    source = tmp_path / "source" / "folder"
    source.mkdir(parents=True)
    for number in range(12):
        (source / f"{number}.txt").write_text(f"number {number}")
    url = xet.unstrip_protocol(f"{main}/copy/")
    rsync(f"file://{tmp_path}/source/", url, inst_kwargs=options)
    # rsync copies file by file, and so it commits.
    assert len(xet.log(main)) == 13
    rsync(f"file://{tmp_path}/source/", url, inst_kwargs=options)
    assert len(xet.log(main)) == 13
    (source / "3.txt").unlink()
    (source / "4.txt").write_text("another text")
    with xet.transaction(message="once more"):
        rsync(f"file://{tmp_path}/source/", url, inst_kwargs=options, delete_missing=True)
    assert [commit.message for commit in xet.log(main)][:2][0] == "once more"
    assert len(xet.log(main)) == 14
    assert len(xet.find(f"{main}/copy")) == 11
    rsync(url, f"file://{tmp_path}/back/", inst_kwargs=options)
    assert {path.name: path.read_text() for path in (tmp_path / "back" / "folder").iterdir()} == {
        path.name: path.read_text() for path in source.iterdir()
    }
    xet.make_branch(main.rpartition("/")[0], "main", "other")
    other = main.replace("/main", "/other")
    with xet.transaction(message="to another branch"):
        rsync(url, xet.unstrip_protocol(f"{other}/more/"), inst_kwargs=options)
    assert xet.cat_file(f"{other}/more/folder/4.txt") == b"another text"


# -- zip files, references, mappings -----------------------------------------------------------------------------------


def test_zip_files(through: tuple[FaultProxy, dict[str, Any]], xet: pyxet.XetFS, main: str) -> None:
    proxy, access = through
    members = {f"folder{number % 3}/{number}.bin": RANDOM.randbytes(30_000) for number in range(60)}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, content in members.items():
            writer.writestr(name, content)
    xet.pipe_file(f"{main}/a.zip", archive.getvalue())
    proxy.clear()
    fs = fsspec.filesystem("zip", fo=f"xet://{main}/a.zip", target_protocol="xet", target_options=access)
    assert sorted(fs.find("")) == sorted(members)
    # The directory at the end of the file, not the file.
    assert proxy.count(CONTENT) <= 8
    assert fs.cat_file("folder1/4.bin") == members["folder1/4.bin"]
    with fsspec.open(f"zip://folder2/5.bin::xet://{main}/a.zip", xet=access) as file:
        assert file.read() == members["folder2/5.bin"]
    fs.close()
    with xet.open(f"{main}/new.zip", "wb") as file, zipfile.ZipFile(file, "w") as writer:
        writer.writestr("made.txt", "made")
    with fsspec.open(f"zip://made.txt::xet://{main}/new.zip", xet=access | {"endpoint": xet.endpoint}) as file:
        assert file.read() == b"made"


def test_references(through: tuple[FaultProxy, dict[str, Any]], xet: pyxet.XetFS, main: str) -> None:
    """As kerchunk writes them: names for ranges of other files, or for whole ones."""
    proxy, access = through
    references: dict[str, Any] = {"inline": "text"}
    references |= {f"near/{number}": [f"xet://{main}/big.bin", number * 2000, 1500] for number in range(50)}
    references |= {f"far/{number}": [f"xet://{main}/big.bin", number * 500_000, 1500] for number in range(10)}
    references |= {f"whole/{name}": [f"xet://{main}/{name}"] for name in SMALL}
    references["gone"] = [f"xet://{main}/gone"]
    xet.pipe_file(f"{main}/refs.json", json.dumps(references).encode())
    fs = fsspec.filesystem(
        "reference", fo=f"xet://{main}/refs.json", target_protocol="xet", target_options=access,
        remote_protocol="xet", remote_options=access,
    )  # fmt: skip
    assert fs.cat_file("inline") == b"text"

    def requests(folder: str, count: int) -> int:
        proxy.clear()
        found = fs.cat([name for name in references if name.startswith(f"{folder}/")])
        assert len(found) == count
        for name, content in found.items():
            if folder == "whole":
                assert content == SMALL[name.removeprefix("whole/")]
            else:
                start = references[name][1]
                assert content == BIG[start : start + 1500]
        return proxy.count(CONTENT)

    assert requests("near", 50) <= 2
    assert requests("far", 10) <= 20
    assert requests("whole", 40) <= 6
    with pytest.raises(Exception, match="gone") as caught:
        fs.cat_file("gone")
    assert isinstance(caught.value.__cause__, NotFoundError)
    with fs.open("near/7") as file:
        file.seek(100)
        assert file.read(5) == BIG[14_100:14_105]


def test_references_read_asynchronously(
    through: tuple[FaultProxy, dict[str, Any]], xet: pyxet.XetFS, main: str
) -> None:
    """zarr on references asks for many at the same time, each on its own."""
    zarr = pytest.importorskip("zarr")
    proxy, access = through
    meta = {
        "zarr_format": 2, "shape": [100, 1500], "chunks": [1, 1500], "dtype": "|u1", "compressor": None,
        "fill_value": 0, "order": "C", "filters": None,
    }  # fmt: skip
    references: dict[str, Any] = {".zarray": json.dumps(meta)}
    references |= {f"{number}.0": [f"xet://{main}/big.bin", number * 1500, 1500] for number in range(100)}
    store = zarr.storage.FsspecStore.from_url(
        "reference://", storage_options={
            "fo": references, "remote_protocol": "xet", "remote_options": access | {"asynchronous": True},
        },
    )  # fmt: skip
    array = zarr.open_array(store, mode="r")
    proxy.clear()
    assert array[:].tobytes() == BIG[:150_000]
    # A hundred ranges, ten at a time.
    assert proxy.count(CONTENT) <= 40


def test_mappings(through: tuple[FaultProxy, dict[str, Any]], xet: pyxet.XetFS, main: str) -> None:
    proxy, access = through
    mapping = fsspec.get_mapper(f"xet://{main}/small", **access)
    proxy.clear()
    assert mapping.getitems(list(mapping)) == {name.removeprefix("small/"): content for name, content in SMALL.items()}
    assert len(proxy.seen) <= 8
    before = len(xet.log(main))
    own = fsspec.get_mapper(xet.unstrip_protocol(f"{main}/mapped"), **access | {"endpoint": xet.endpoint})
    own.setitems({"a/b": b"1", "c": b"2"})
    assert len(xet.log(main)) == before + 1
    with xet.transaction:
        own["d"] = b"3"
        own["e"] = b"4"
        del own["c"]
    assert len(xet.log(main)) == before + 2
    assert dict(own) == {"a/b": b"1", "d": b"3", "e": b"4"}
    with pytest.raises(KeyError):
        own["c"]


def test_errors_reach_the_caller(through: tuple[FaultProxy, dict[str, Any]], main: str) -> None:
    """Also where fsspec takes errors of its own kinds for "not there"."""
    from support.faults import answer

    proxy, access = through
    proxy.rule(r"POST /api/.*/paths-info/", answer(403))
    proxy.rule(r"GET /api/.*/(tree|revision|refs)", answer(403))
    mapping = fsspec.get_mapper(f"xet://{main}/small", **access)
    for call in (lambda: mapping["000.bin"], lambda: "000.bin" in mapping, lambda: list(mapping)):
        with pytest.raises(XetError):
            call()
