"""geopandas: tables of places as Parquet and GeoJSON."""

from __future__ import annotations

import io
from collections.abc import Iterator

import geopandas as gpd
import pytest
from geopandas.testing import assert_geodataframe_equal
from shapely.geometry import Point
from support.faults import answer
from support.tools import LOOK, Tool, tool

import pyxet
from pyxet.testing import LocalEndpoint

PLACES = gpd.GeoDataFrame(
    {"name": [f"place {number}" for number in range(500)], "visits": range(500)},
    geometry=[Point(number % 36 * 10 - 180, number // 36 * 10 - 90) for number in range(500)],
    crs="EPSG:4326",
)


@pytest.fixture
def at(shared_endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    with tool(shared_endpoint, main, monkeypatch) as found:
        yield found


def test_parquet_is_written_and_read(at: Tool) -> None:
    PLACES.to_parquet(f"{at.main}/places.parquet", filesystem=at.fs)
    assert at.titles == ["Upload places.parquet"]
    for found in (
        gpd.read_parquet(f"{at.url}/places.parquet"),
        gpd.read_parquet(f"{at.main}/places.parquet", filesystem=at.fs),
        gpd.read_parquet(at.fs.open(f"{at.main}/places.parquet")),
    ):
        assert_geodataframe_equal(found, PLACES)
    some = gpd.read_parquet(f"{at.url}/places.parquet", columns=["name", "geometry"])
    assert list(some.columns) == ["name", "geometry"]


def test_a_part_of_the_world_is_read(at: Tool) -> None:
    PLACES.to_parquet(f"{at.main}/places.parquet", filesystem=at.fs, write_covering_bbox=True)
    found = gpd.read_parquet(f"{at.url}/places.parquet", bbox=(0, 0, 15, 15))
    assert sorted((place.x, place.y) for place in found.geometry) == [(0, 0), (0, 10), (10, 0), (10, 10)]


def test_geojson_is_written_and_read(at: Tool) -> None:
    with at.fs.open(f"{at.main}/places.geojson", "w") as file:
        file.write(PLACES.to_json())
    with at.fs.open(f"{at.main}/places.geojson", "rb") as file:
        assert_geodataframe_equal(gpd.read_file(file).drop(columns="id"), PLACES, check_dtype=False)
    assert at.titles == ["Upload places.geojson"]


def test_other_formats_are_made_in_memory(at: Tool) -> None:
    made = io.BytesIO()
    PLACES.to_file(made, driver="FlatGeobuf")
    at.fs.pipe_file(f"{at.main}/places.fgb", made.getvalue())
    with at.fs.open(f"{at.main}/places.fgb", "rb") as file:
        assert_geodataframe_equal(
            gpd.read_file(file).sort_values("visits", ignore_index=True), PLACES, check_dtype=False
        )


def test_several_are_one_commit(at: Tool) -> None:
    with at.fs.transaction(message="two halves") as tr:
        PLACES[:250].to_parquet(f"{at.main}/halves/1.parquet", filesystem=tr.fs)
        PLACES[250:].to_parquet(f"{at.main}/halves/2.parquet", filesystem=tr.fs)
    assert at.titles == ["two halves"]
    assert len(gpd.read_parquet(f"{at.url}/halves/2.parquet")) == 250


def test_a_missing_file_is_told_and_an_error_is_not_one(at: Tool) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.parquet"):
        gpd.read_parquet(f"{at.url}/none.parquet")
    with pytest.raises(FileNotFoundError, match=r"none\.geojson"):
        gpd.read_file(at.fs.open(f"{at.main}/none.geojson"))
    PLACES.to_parquet(f"{at.main}/places.parquet", filesystem=at.fs)
    at.fresh()
    at.proxy.rule(LOOK, answer(403))
    with pytest.raises(pyxet.AccessDeniedError):
        gpd.read_parquet(f"{at.url}/places.parquet")


def test_writing_that_is_interrupted_leaves_nothing(at: Tool) -> None:
    def stopped() -> None:
        with at.fs.transaction:
            PLACES.to_parquet(f"{at.main}/places.parquet", filesystem=at.fs)
            raise KeyboardInterrupt

    def half() -> None:
        with at.fs.open(f"{at.main}/places.geojson", "w") as file:
            file.write(PLACES.to_json()[:1000])
            raise ValueError("half of it")

    with pytest.raises(KeyboardInterrupt):
        stopped()
    with pytest.raises(ValueError, match="half"):
        half()
    assert at.titles == []
    assert "places" not in "".join(at.files())
