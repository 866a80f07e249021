"""xarray: zarr stores by URL, netCDF and HDF5 files by file object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from support.faults import answer
from support.tools import LOOK, Tool, tool

import pyxet
from pyxet.testing import LocalEndpoint

WEATHER = xr.Dataset(
    {"temperature": (("time", "place"), np.random.default_rng(1).random((24, 5000)).astype("f4"))},
    coords={"time": np.arange(24), "place": np.arange(5000)},
    attrs={"station": "Cherbourg"},
)


@pytest.fixture
def at(shared_endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    with tool(shared_endpoint, main, monkeypatch) as found:
        yield found


def put(at: Tool, folder: Path, name: str = "weather.nc") -> None:
    """HDF5 is written on this machine, as it goes back and forth in its file, and uploaded."""
    WEATHER.to_netcdf(folder / name, engine="h5netcdf", encoding={"temperature": {"chunksizes": (1, 5000)}})
    at.fs.put_file(str(folder / name), f"{at.main}/{name}", message=f"Upload {name}")


def test_a_zarr_store_is_written_appended_to_and_read(at: Tool) -> None:
    with at.fs.transaction(message="a day"):
        WEATHER.to_zarr(f"{at.url}/weather.zarr", consolidated=False)
    with at.fs.transaction(message="the next day"):
        WEATHER.assign_coords(time=WEATHER.time + 24).to_zarr(
            f"{at.url}/weather.zarr", append_dim="time", consolidated=False
        )
    assert at.titles == ["the next day", "a day"]
    with xr.open_zarr(f"{at.url}/weather.zarr", consolidated=False, chunks=None) as found:
        assert found.sizes["time"] == 48
        xr.testing.assert_identical(found.isel(time=slice(24)).load(), WEATHER)


def test_a_file_is_read_by_its_parts(at: Tool, tmp_path: Path) -> None:
    put(at, tmp_path)
    at.fresh()
    with at.fs.open(f"{at.main}/weather.nc", "rb") as file, xr.open_dataset(file, engine="h5netcdf") as found:
        assert found.attrs == WEATHER.attrs
        np.testing.assert_array_equal(found.temperature[12], WEATHER.temperature[12])
        xr.testing.assert_identical(found.load(), WEATHER)
    with at.fs.open(f"{at.main}/weather.nc", "rb") as file, h5py.File(file) as raw:
        np.testing.assert_array_equal(raw["temperature"][3], WEATHER.temperature[3])


def test_several_files_are_one_dataset(at: Tool, tmp_path: Path) -> None:
    put(at, tmp_path, "1.nc")
    put(at, tmp_path, "2.nc")
    files = [at.fs.open(f"{at.main}/{number}.nc", "rb") for number in (1, 2)]
    with xr.open_mfdataset(files, engine="h5netcdf", combine="nested", concat_dim="run") as found:
        assert found.sizes == {"run": 2, "time": 24, "place": 5000}
    for file in files:
        file.close()


def test_a_small_one_is_made_in_memory(at: Tool) -> None:
    at.fs.pipe_file(f"{at.main}/small.nc", WEATHER.isel(place=slice(3)).to_netcdf(engine="h5netcdf"))
    with at.fs.open(f"{at.main}/small.nc", "rb") as file, xr.open_dataset(file, engine="h5netcdf") as found:
        assert found.sizes["place"] == 3


def test_hdf5_cannot_be_written_in_a_stream(at: Tool) -> None:
    with pytest.raises(OSError, match="cannot seek"), at.fs.open(f"{at.main}/new.nc", "wb") as file:
        WEATHER.to_netcdf(file, engine="h5netcdf")
    assert at.titles == []


def test_what_is_missing_and_what_fails(at: Tool, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        xr.open_zarr(f"{at.url}/none.zarr", consolidated=False)
    put(at, tmp_path)
    with at.fs.transaction(message="a day"):
        WEATHER.to_zarr(f"{at.url}/weather.zarr", consolidated=False)
    at.fresh()
    at.proxy.rule(LOOK, answer(403))
    with pytest.raises(pyxet.AccessDeniedError):
        xr.open_zarr(f"{at.url}/weather.zarr", consolidated=False, chunks=None).load()
    with pytest.raises(pyxet.AccessDeniedError):
        at.fs.open(f"{at.main}/weather.nc", "rb")


def test_writing_that_is_interrupted_leaves_nothing(at: Tool) -> None:
    def stopped() -> None:
        with at.fs.transaction:
            WEATHER.to_zarr(f"{at.url}/weather.zarr", consolidated=False)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert at.titles == []
    assert not at.fs.exists(f"{at.main}/weather.zarr")
