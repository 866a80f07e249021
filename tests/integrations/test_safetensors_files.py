"""Files that the package safetensors writes and reads, and values that torch alone has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from support.faults import XORB, FaultProxy, answer

import pyxet

KINDS = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32,
    torch.float64, torch.float8_e5m2, torch.float8_e4m3fn, torch.complex64,
]  # fmt: skip


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    found = {str(kind).removeprefix("torch."): (torch.rand(60, 4, 3) * 9).to(kind) for kind in KINDS}
    return found | {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3)}


@pytest.fixture
def stored(xet: pyxet.XetFS, main: str, tensors: dict[str, torch.Tensor]) -> str:
    xet.pipe_file(f"{main}/a.safetensors", safetensors.torch.save(tensors, {"by": "torch"}))
    return f"{main}/a.safetensors"


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    flat = [part.contiguous().reshape(-1).view(torch.uint8) for part in (one, other)]
    return bool(one.dtype == other.dtype and one.shape == other.shape and torch.equal(*flat))


def test_all_types_by_torch(xet: pyxet.XetFS, stored: str, tensors: dict[str, torch.Tensor]) -> None:
    file = pyxet.safetensors.open(stored, "torch", filesystem=xet)
    assert file.metadata() == {"by": "torch"}
    found = file.get_tensors()
    assert found.keys() == tensors.keys()
    assert all(same(found[name], tensors[name]) for name in tensors)
    assert same(file.get_slice("float32")[5:7], tensors["float32"][5:7])
    assert same(file.get_tensor("bfloat16", (slice(9, 2, -2), 1)), tensors["bfloat16"][[9, 7, 5, 3], 1])


BACK = slice(None, None, -1)


@pytest.mark.parametrize(
    "index", [BACK, (..., BACK), (0, ..., BACK), (BACK, ..., slice(None, None, -2)), (slice(9, 2, -2), ...)], ids=str
)
@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_ranges_that_go_back_by_torch(
    xet: pyxet.XetFS, stored: str, tensors: dict[str, torch.Tensor], name: str, index: Any
) -> None:
    """torch has none, so they are made of something else, on the axis that ``...`` leads to."""
    file = pyxet.safetensors.open(stored, "torch", filesystem=xet)
    wanted = torch.from_numpy(tensors[name].float().numpy()[index].copy())
    assert torch.equal(file.get_slice(name)[index].float(), wanted)


def test_tensors_without_values_by_torch(xet: pyxet.XetFS, stored: str) -> None:
    file = pyxet.safetensors.open(stored, "torch", filesystem=xet)
    assert [file.get_slice("empty")[index].shape for index in (slice(None), BACK, (..., 1), (..., BACK))] == [
        (0, 3), (0, 3), (0,), (0, 3),
    ]  # fmt: skip


def test_what_numpy_has_not(xet: pyxet.XetFS, stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    file = pyxet.safetensors.open(stored, filesystem=xet)
    with pytest.raises(pyxet.ConfigError, match="pip install ml_dtypes, or open the file with framework='torch'"):
        file.get_tensor("bfloat16")


def test_like_the_package_on_a_local_file(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    arrays = {f"layer.{number}": random.random((50, number + 1)) for number in range(20)}
    safetensors.numpy.save_file(arrays, tmp_path / "local.safetensors")
    xet.put_file(str(tmp_path / "local.safetensors"), f"{main}/local.safetensors")
    file = pyxet.safetensors.open(f"{main}/local.safetensors", filesystem=xet)
    with safetensors.safe_open(tmp_path / "local.safetensors", "np") as local:
        assert sorted(file.keys()) == sorted(local.keys())
        for name in local.keys():  # noqa: SIM118  # it is no mapping
            np.testing.assert_array_equal(file.get_tensor(name), local.get_tensor(name))
            np.testing.assert_array_equal(file.get_slice(name)[7:9], local.get_slice(name)[7:9])
            assert file.get_slice(name).get_shape() == local.get_slice(name).get_shape()
            assert file.get_slice(name).get_dtype() == local.get_slice(name).get_dtype()


def test_an_error_while_reading(through: tuple[FaultProxy, pyxet.XetFS], stored: str) -> None:
    proxy, fs = through
    file = pyxet.safetensors.open(stored, "torch", filesystem=fs)
    proxy.rule(XORB, answer(500))
    with pytest.raises(pyxet.ServerError):
        file.get_tensors()
    proxy.clear()
    assert len(file.get_tensors()) == len(file)


def test_an_interrupted_write_leaves_the_old_weights(
    xet: pyxet.XetFS, stored: str, tensors: dict[str, torch.Tensor]
) -> None:
    content = safetensors.torch.save({"other": torch.zeros(1000, 1000)})

    def write() -> None:
        with xet.open(stored, "wb") as file:
            file.write(content[:2_000_000])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    file = pyxet.safetensors.open(stored, "torch", filesystem=xet)
    assert same(file.get_tensor("float64"), tensors["float64"])
