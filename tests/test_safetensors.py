"""`pyxet.safetensors` on files made by hand: what is read, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from support.faults import FaultProxy
from support.liar import memory_growth
from support.proxied import asynchronous

import pyxet
from pyxet.testing import LocalEndpoint

KINDS = {"float32": "F32", "int64": "I64", "uint8": "U8", "bool": "BOOL", "float16": "F16"}


def packed(tensors: dict[str, np.ndarray[Any, Any]], metadata: dict[str, str] | None = None) -> bytes:
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    data = b""
    for name, array in tensors.items():
        more = array.tobytes()
        header[name] = {
            "dtype": KINDS[str(array.dtype)], "shape": array.shape, "data_offsets": [len(data), len(data) + len(more)],
        }  # fmt: skip
        data += more
    return with_header(json.dumps(header).encode(), data)


def with_header(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


@pytest.fixture
def tensors() -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(5)
    return {
        "large": random.random((1000, 25, 40), dtype=np.float32),
        "ids": random.integers(0, 100, (7, 5)),
        "one": np.array(3, dtype=np.int64),
        "none": np.zeros((0, 4), dtype=np.float32),
        "flags": random.random(9) > 0.5,
        "tail": random.random((300_000,), dtype=np.float32),
    }


@pytest.fixture
def stored(xet: pyxet.XetFS, main: str, tensors: dict[str, np.ndarray[Any, Any]]) -> str:
    path = f"{main}/model.safetensors"
    xet.pipe_file(path, packed(tensors, {"format": "pt"}))
    return path


def test_the_header_and_each_tensor(
    url: str, options: dict[str, str], stored: str, tensors: dict[str, np.ndarray[Any, Any]]
) -> None:
    with pyxet.safetensors.open(f"{url}/model.safetensors", storage_options=options) as file:
        assert file.keys() == list(tensors)
        assert len(file) == 6
        assert "ids" in file
        assert file.metadata() == {"format": "pt"}
        info = file.info("ids")
        assert (info.dtype, info.shape, info.size) == ("I64", (7, 5), 280)
        for name, array in tensors.items():
            found = file.get_tensor(name)
            assert_array_equal(found, array)
            assert (found.dtype, found.shape) == (array.dtype, array.shape)
            assert found.flags.writeable
        assert file.get_slice("large").get_shape() == [1000, 25, 40]
        assert file.get_slice("large").get_dtype() == "F32"


INDICES: list[Any] = [
    0,
    -1,
    999,
    slice(10, 20),
    slice(-3, None),
    slice(None, None, 100),
    slice(20, 10, -1),
    slice(20, 10, -3),
    slice(5, 5),
    slice(2000, 3000),
    (3, 4),
    (3, slice(2, 9)),
    (3, 4, 5),
    (slice(3, 6), slice(1, 4), -1),
    (slice(6, 3, -1), slice(4, 1, -1)),
    ...,
    (..., 0),
    (2, ..., slice(0, 3)),
    (..., slice(None, None, -1)),
    (0, ..., slice(None, None, -2)),
    (slice(4, 1, -1), ..., slice(2, None, -1)),
    (3, 4, ..., 5),
    (),
    np.int64(7),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_parts_are_those_of_numpy(
    xet: pyxet.XetFS, stored: str, tensors: dict[str, np.ndarray[Any, Any]], index: Any
) -> None:
    file = pyxet.safetensors.open(stored, filesystem=xet)
    assert_array_equal(file.get_tensor("large", index), tensors["large"][index])
    assert_array_equal(file.get_slice("large")[index], tensors["large"][index])


def test_no_more_is_read_than_asked_for(
    through: tuple[FaultProxy, pyxet.XetFS], stored: str, tensors: dict[str, np.ndarray[Any, Any]]
) -> None:
    _, fs = through
    wanted = 800 * 4000
    before = fs.metrics()
    file = pyxet.safetensors.open(stored, filesystem=fs)
    header = (fs.metrics() - before).bytes_received
    assert header < 300_000
    before = fs.metrics()
    assert_array_equal(file.get_tensor("large", slice(100, 900)), tensors["large"][100:900])
    assert (fs.metrics() - before).bytes_received <= 1.1 * wanted
    before = fs.metrics()
    found = file.get_tensors()
    assert found.keys() == tensors.keys()
    spent = fs.metrics() - before
    assert spent.bytes_received <= 1.1 * sum(array.nbytes for array in tensors.values())
    assert spent.requests < 10


async def test_awaited(shared_endpoint: LocalEndpoint, stored: str, tensors: dict[str, np.ndarray[Any, Any]]) -> None:
    async with asynchronous(shared_endpoint) as fs:
        file = await pyxet.safetensors.open_async(stored, filesystem=fs)
        assert file.keys() == list(tensors)
        assert_array_equal(await file.get_tensor("large", (3, slice(2, 9))), tensors["large"][3, 2:9])
        assert_array_equal(await file.get_slice("ids")[2:4], tensors["ids"][2:4])
        found = await file.get_tensors(["one", "tail", "one"])
        assert list(found) == ["one", "tail"]
        assert_array_equal(found["tail"], tensors["tail"])
        with pytest.raises(KeyError, match="keys"):
            await file.get_tensor("nothing")


def test_a_header_that_is_longer_than_what_is_read_first(xet: pyxet.XetFS, main: str) -> None:
    tensors = {f"layers.{number}.weight": np.full(3, number, dtype=np.int64) for number in range(3000)}
    xet.pipe_file(f"{main}/many.safetensors", packed(tensors))
    file = pyxet.safetensors.open(f"{main}/many.safetensors", filesystem=xet)
    assert len(file) == 3000
    assert_array_equal(file.get_tensor("layers.2999.weight"), [2999] * 3)
    assert len(file.get_tensors()) == 3000


def test_it_stays_on_its_version(
    xet: pyxet.XetFS, stored: str, tensors: dict[str, np.ndarray[Any, Any]]
) -> None:  # fmt: skip
    file = pyxet.safetensors.open(stored, filesystem=xet)
    xet.pipe_file(stored, b"something else")
    assert_array_equal(file.get_tensor("ids"), tensors["ids"])
    with pytest.raises(pyxet.FormatError):
        pyxet.safetensors.open(stored, filesystem=xet)


def test_what_a_transaction_has_not_committed_yet(
    xet: pyxet.XetFS, main: str, tensors: dict[str, np.ndarray[Any, Any]]
) -> None:
    with xet.transaction(message="weights"):
        xet.pipe_file(f"{main}/new.safetensors", packed(tensors))
        file = pyxet.safetensors.open(f"{main}/new.safetensors", filesystem=xet)
        assert_array_equal(file.get_tensor("flags"), tensors["flags"])


def entry(**changed: Any) -> bytes:
    return json.dumps({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]} | changed}).encode()


DAMAGED = {
    "empty": b"",
    "short": b"\x08\0\0",
    "longer than the file": (10**6).to_bytes(8, "little") + b"{}",
    "endless": b"\xff" * 8 + b"{}",
    "no json": with_header(b"{not json", b"1234"),
    "a list": with_header(b"[]"),
    "not utf-8": with_header(b'{"\xff": 1}'),
    "deep": with_header(b"[" * 50_000),
    "no entry": with_header(b'{"a": 1}'),
    "metadata of numbers": with_header(b'{"__metadata__": {"a": 1}}'),
    "unknown type": with_header(entry(dtype="F1024"), b"1234"),
    "a negative axis": with_header(entry(shape=[-2, -2]), b"1234"),
    "an enormous shape": with_header(entry(shape=[2**62, 2**62]), b"1234"),
    "enormous, but for an axis of no length": with_header(entry(shape=[2**62, 2**62, 0], data_offsets=[0, 0])),
    "too many axes": with_header(entry(shape=[4] + [1] * 100), b"1234"),
    "a shape of text": with_header(entry(shape=["4"]), b"1234"),
    "past the end": with_header(entry(data_offsets=[0, 4000], shape=[4000]), b"1234"),
    "before the start": with_header(entry(data_offsets=[-4, 0]), b"1234"),
    "backwards": with_header(entry(data_offsets=[4, 0]), b"1234"),
    "a gap": with_header(entry(data_offsets=[1, 5]), b"12345"),
    "bytes at the end": with_header(entry(), b"12345"),
    "too few bytes": with_header(entry(), b"123"),
    "a huge offset": with_header(entry(data_offsets=[0, 2**80]), b"1234"),
}


@pytest.mark.parametrize("kind", DAMAGED)
async def test_damaged_files_are_told(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, kind: str) -> None:
    path = f"{main}/bad.safetensors"
    async with asynchronous(shared_endpoint) as fs:
        await fs._pipe_file(path, DAMAGED[kind])
        with pytest.raises(pyxet.FormatError, match="is not a safetensors file, or is damaged"):
            await pyxet.safetensors.open_async(path, filesystem=fs)


def test_a_lying_header_takes_no_memory(xet: pyxet.XetFS, main: str) -> None:
    path = f"{main}/large.safetensors"
    size = 40 * 1024 * 1024
    xet.pipe_file(path, (size - 8).to_bytes(8, "little") + bytes(size - 8))
    with memory_growth() as growth, pytest.raises(pyxet.FormatError, match="at most"):
        pyxet.safetensors.open(path, filesystem=xet)
    assert growth.bytes < 20 * 1024 * 1024


def test_mistakes(xet: pyxet.XetFS, main: str, stored: str) -> None:
    file = pyxet.safetensors.open(stored, filesystem=xet)
    with pytest.raises(KeyError, match=r"keys\(\) has all names"):
        file.get_tensor("nothing")
    for index in (1000, -1001, (0, 25), (0, 0, 0, 0), (0, 0, 0, ..., 0), (..., ...)):
        with pytest.raises(IndexError):
            file.get_tensor("large", index)
    for axis in (1.5, "a", None, True, [0, 1]):
        with pytest.raises(TypeError, match="expected whole numbers, ranges"):
            file.get_tensor("large", (axis,))  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match="expected whole numbers, ranges"):
        file.get_slice("large")[None]  # type: ignore[index]  # on purpose
    with pytest.raises(pyxet.ConfigError, match="'numpy' or 'torch'"):
        pyxet.safetensors.open(stored, "jax", filesystem=xet)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(pyxet.EntryNotFoundError):
        pyxet.safetensors.open(f"{main}/nothing", filesystem=xet)
    xet.pipe_file(f"{main}/folder/a.txt", b"")
    with pytest.raises(IsADirectoryError):
        pyxet.safetensors.open(f"{main}/folder", filesystem=xet)
    with pytest.raises(pyxet.XetURLError):
        pyxet.safetensors.open("model.safetensors")


def test_values_of_less_than_a_byte_are_told_but_not_read(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/f4.safetensors", with_header(entry(dtype="F4", shape=[8]), b"1234"))
    file = pyxet.safetensors.open(f"{main}/f4.safetensors", filesystem=xet)
    assert (file.info("a").dtype, file.info("a").size) == ("F4", 4)
    with pytest.raises(pyxet.NotSupportedError, match="arrays of F4 are not supported"):
        file.get_tensor("a")
