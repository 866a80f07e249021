"""zarr v3 on `xet://`: zarr's own tests of a store, arrays and groups from blocking and asynchronous code, requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import zarr
import zarr.api.asynchronous as azarr
from support.accounts import account_of, token_of
from support.faults import FaultProxy, answer
from support.proxied import proxied
from zarr.core.buffer import Buffer, cpu
from zarr.storage import FsspecStore
from zarr.testing.store import StoreTests

import pyxet
from pyxet import AsyncXetFileSystem, XetPath
from pyxet.errors import TransactionError
from pyxet.testing import LocalEndpoint

# zarr says that consolidated metadata is no part of its third format yet.
CONSOLIDATED = "ignore:Consolidated metadata is currently not part:zarr.errors.ZarrUserWarning"
LOOK = r"POST /api/.*/paths-info/"


class TestStore(StoreTests[FsspecStore, cpu.Buffer]):
    """zarr's own tests; what is around the store goes through a blocking file system."""

    store_cls = FsspecStore
    buffer_cls = cpu.Buffer

    @pytest.fixture
    def store_kwargs(self, xet: pyxet.XetFS, main: str) -> dict[str, Any]:
        self.outside = xet
        fs = AsyncXetFileSystem(xet.endpoint, xet.credential.user, token_of(xet), asynchronous=True)
        return {"fs": fs, "path": f"{main}/store"}

    async def get(self, store: FsspecStore, key: str) -> Buffer:
        content = await asyncio.to_thread(self.outside.cat_file, f"{store.path}/{key}")
        return self.buffer_cls.from_bytes(content)

    async def set(self, store: FsspecStore, key: str, value: Buffer) -> None:
        await asyncio.to_thread(self.outside.pipe_file, f"{store.path}/{key}", value.to_bytes())

    def test_store_repr(self, store: FsspecStore) -> None:
        assert str(store) == f"<FsspecStore(AsyncXetFileSystem, {store.path})>"

    def test_store_supports_writes(self, store: FsspecStore) -> None:
        assert store.supports_writes

    def test_store_supports_listing(self, store: FsspecStore) -> None:
        assert store.supports_listing


@pytest.fixture
def access(xet: pyxet.XetFS) -> dict[str, Any]:
    return account_of(xet)


@pytest.fixture
def through(shared_endpoint: LocalEndpoint) -> Iterator[tuple[FaultProxy, dict[str, Any]]]:
    """A proxy that counts, and storage options that lead through it."""
    with proxied(shared_endpoint) as (proxy, fs):
        yield proxy, {"endpoint": fs.endpoint, "user": "acme", "token": shared_endpoint.token}


NUMBERS = np.arange(10_000, dtype="i4").reshape(100, 100)


def write(fs: Any, path: str) -> None:
    """A group with an array of a hundred chunks and one that is nearly empty."""
    store = FsspecStore.from_mapper(fs.get_mapper(path))
    group = zarr.open_group(store, mode="w", attributes={"made": "by a test"})
    group.create_array("numbers", shape=(100, 100), chunks=(10, 10), dtype="i4")[:] = NUMBERS
    group.create_array("sparse", shape=(1000,), chunks=(10,), dtype="f8", fill_value=0)[5] = 1
    zarr.consolidate_metadata(store)


# -- blocking ----------------------------------------------------------------------------------------------------------


def test_by_url(xet: pyxet.XetFS, main: str, access: dict[str, Any]) -> None:
    url = f"xet://{main}/array.zarr"
    array = zarr.create_array(url, shape=(20,), chunks=(5,), dtype="f4", storage_options=access)
    array[:] = np.arange(20)
    array.attrs["unit"] = "m"
    again = zarr.open(url, mode="r", storage_options=access)
    assert isinstance(again, zarr.Array)
    np.testing.assert_array_equal(again[3:12], np.arange(3, 12))
    assert again.attrs["unit"] == "m"
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 1
    # Without a transaction each object is a commit.
    assert len(xet.log(main)) - 1 >= 5
    store = FsspecStore.from_url(xet.unstrip_protocol(f"{main}/array.zarr"), storage_options={"token": access["token"]})
    np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], np.arange(20))
    # A commit stays as it is.
    commit = xet.info(main)["commit"]
    array[:] = 0
    old = zarr.open(f"xet://{main}/array.zarr".replace("/main/", f"/{commit}/"), mode="r", storage_options=access)
    np.testing.assert_array_equal(old[:], np.arange(20))
    with pytest.raises(FileNotFoundError):
        zarr.open(f"xet://{main}/nope.zarr", mode="r", storage_options=access)
    group = zarr.open_group(f"xet://{main}/group", mode="w", storage_options=access)
    group.create_group("a/b").create_array("c", shape=(3,), dtype="i8")[:] = 7
    assert sorted(name for name, _ in group.members(max_depth=None)) == ["a", "a/b", "a/b/c"]
    del group["a"]
    assert list(group) == []
    assert xet.find(f"{main}/group") == [f"{main}/group/zarr.json"]


@pytest.mark.filterwarnings(CONSOLIDATED)
def test_a_group_in_one_commit(xet: pyxet.XetFS, main: str, access: dict[str, Any]) -> None:
    with xet.transaction(message="a group") as transaction:
        write(transaction.fs, f"{main}/group.zarr")
        assert not pyxet.XetFS(xet.endpoint, token="").exists(f"{main}/group.zarr/zarr.json")
    assert [commit.message for commit in xet.log(main)] == ["a group", "initial commit"]
    assert len(xet.find(f"{main}/group.zarr/numbers")) == 101
    group = zarr.open(f"xet://{main}/group.zarr", mode="r", storage_options=access)
    assert group.metadata.consolidated_metadata is not None
    np.testing.assert_array_equal(group["numbers"][:], NUMBERS)
    assert group["sparse"][:].sum() == 1
    assert group.attrs["made"] == "by a test"


@pytest.mark.filterwarnings(CONSOLIDATED)
def test_a_group_that_is_not_finished_is_not_there(xet: pyxet.XetFS, main: str) -> None:
    def fail(fs: Any) -> None:
        write(fs, f"{main}/group.zarr")
        raise RuntimeError("the source broke off")

    with pytest.raises(RuntimeError, match="broke off"), xet.transaction as transaction:
        fail(transaction.fs)
    assert len(xet.log(main)) == 1
    assert not xet.exists(f"{main}/group.zarr")
    with pytest.raises(TransactionError):
        write(transaction.fs, f"{main}/group.zarr")


def test_who_takes_part_in_a_transaction(xet: pyxet.XetFS, main: str, access: dict[str, Any]) -> None:
    before = FsspecStore.from_url(f"xet://{main}/before", storage_options=access)

    def on_another_thread(store: Any, **options: Any) -> None:
        thread = threading.Thread(target=lambda: zarr.create_array(store, shape=(3,), dtype="i4", **options))
        thread.start()
        thread.join()

    with xet.transaction(message="inside") as transaction:
        zarr.create_array(f"xet://{main}/url", shape=(3,), dtype="i4", storage_options=access)[:] = 1
        zarr.create_array(before, shape=(3,), dtype="i4")
        on_another_thread(FsspecStore.from_mapper(transaction.fs.get_mapper(f"{main}/bound")))
        assert len(xet.log(main)) == 1
        on_another_thread(f"xet://{main}/elsewhere", storage_options=access)
        assert len(xet.log(main)) > 1
    assert sum(commit.message == "inside" for commit in xet.log(main)) == 1
    for name in ("url", "bound", "before", "elsewhere"):
        zarr.open_array(f"xet://{main}/{name}", mode="r", storage_options=access)


def test_from_paths(main: str, access: dict[str, Any]) -> None:
    path = XetPath(f"xet://{main}/array.zarr", asynchronous=True, **access)
    zarr.create_array(FsspecStore.from_upath(path), shape=(4,), dtype="i4")[:] = 4
    assert zarr.open_array(FsspecStore.from_upath(path), mode="r")[:].sum() == 16


def test_errors_are_not_fill_values(shared_endpoint: LocalEndpoint, main: str, access: dict[str, Any]) -> None:
    """What zarr takes for a missing chunk is one that is missing, not one that could not be read."""
    array = zarr.create_array(f"xet://{main}/a", shape=(40,), chunks=(10,), dtype="i4", storage_options=access)
    array[:] = 1
    with proxied(shared_endpoint) as (proxy, fs):
        through = zarr.open_array(f"xet://{main}/a", mode="r", storage_options=access | {"endpoint": fs.endpoint})
        proxy.rule(LOOK, answer(403))
        with pytest.raises(pyxet.AccessDeniedError):
            through[:]


# -- asynchronous ------------------------------------------------------------------------------------------------------


async def test_from_asynchronous_code(xet: pyxet.XetFS, main: str, access: dict[str, Any]) -> None:
    async with AsyncXetFileSystem(asynchronous=True, **access) as fs:
        store = FsspecStore(fs, path=f"{main}/group.zarr")
        async with fs.transaction(message="asynchronously"):
            group = await azarr.open_group(store, mode="w")
            array = await group.create_array("numbers", shape=(100, 100), chunks=(10, 10), dtype="i4")
            await array.setitem(slice(None), NUMBERS)
        assert len(await fs._log(main)) == 2
        found = await azarr.open_array(store=store, path="numbers", mode="r")
        np.testing.assert_array_equal(await found.getitem((slice(20, 40), slice(None))), NUMBERS[20:40])
        by_url = await azarr.open(store=f"xet://{main}/group.zarr", mode="r", storage_options=access)
        assert [name async for name in by_url.keys()] == ["numbers"]  # noqa: SIM118  # not a dictionary
    assert xet.exists(f"{main}/group.zarr/numbers/c/9/9")


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings(CONSOLIDATED)
def test_requests(through: tuple[FaultProxy, dict[str, Any]], main: str) -> None:
    proxy, access = through
    fs = pyxet.XetFS(**access)
    with fs.transaction as transaction:
        write(transaction.fs, f"{main}/group.zarr")
    # 104 objects, whatever their number: a commit and what goes before it.
    assert proxy.count(r"POST /api/.*/commit/") == 1
    assert len(proxy.seen) <= 30
    # Chunks are looked for before they are written in part, once all that there is is known.
    assert proxy.count(LOOK) <= 4
    fs.invalidate_cache()
    proxy.clear()
    group = zarr.open(f"xet://{main}/group.zarr", mode="r", storage_options=access)
    # With consolidated metadata, members cost no more. The token for content is asked for beside the first look.
    assert [array.shape for _, array in sorted(group.members())] == [(100, 100), (1000,)]
    assert len(proxy.seen) <= 5
    proxy.clear()
    # A hundred chunks. Each is read on its own, and zarr lets ten go at a time; all at once, the count depends on no chance.
    with zarr.config.set({"async.concurrency": 100}):
        np.testing.assert_array_equal(group["numbers"][:], NUMBERS)
        assert proxy.count(LOOK) <= 5
        assert len(proxy.seen) <= 15
        proxy.clear()
        # Of a hundred chunks 99 are not there; asked for together, and once.
        group["sparse"][:]
        assert proxy.count(LOOK) <= 5
        proxy.clear()
        # That they are still not there is asked once for all that go at a time.
        group["sparse"][:]
        assert proxy.count(LOOK) <= 2
    proxy.clear()
    # Ten at a time, as zarr does by itself: about a request for each ten.
    group["sparse"][:]
    assert proxy.count(LOOK) <= 25
