"""Ray Data, as its users write it, and the sink that commits once."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray
import ray.data
from support.tools import COMMIT, Tool, tool

from pyxet.errors import AlreadyExistsError, ConfigError, XetURLError
from pyxet.ray import ParquetDatasink
from pyxet.testing import LocalEndpoint

# Ray begins many processes, on a machine that may have much else to do.
pytestmark = [
    pytest.mark.timeout(400),
    # What Ray itself and its dependencies say of each other, in this process.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]

FRAME = pd.DataFrame({"number": range(1000), "part": [number % 3 for number in range(1000)]})


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 1024 * 1024)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture
def at(shared_endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    with tool(shared_endpoint, main, monkeypatch) as found:
        yield found


def dataset() -> Any:
    return ray.data.from_pandas(FRAME).repartition(4)


def test_a_dataset_goes_out_as_one_commit_and_comes_back(at: Tool) -> None:
    sink = ParquetDatasink(f"{at.url}/table", message="by workers", storage_options=at.options)
    dataset().map_batches(lambda batch: {**batch, "double": batch["number"] * 2}).write_datasink(sink)
    assert at.titles == ["by workers"]
    assert sink.commit is not None
    assert sink.commit.title == "by workers"
    assert len(pd.read_parquet(f"{at.url}/table")) == len(FRAME)
    options: dict[str, Any] = at.options
    fs = type(at.fs)(**options)
    found = ray.data.read_parquet(f"{at.main}/table", filesystem=fs, columns=["number", "double"])
    assert found.sum("double") == 2 * FRAME["number"].sum()


def test_what_is_there_already_is_replaced_or_refused(at: Tool) -> None:
    at.fs.pipe_file(f"{at.main}/table/old.parquet", b"old")
    data = ray.data.from_pandas(FRAME)
    with pytest.raises(AlreadyExistsError, match="overwrite=True"):
        data.write_datasink(ParquetDatasink(f"{at.url}/table", storage_options=at.options))
    with at.fs.transaction(message="partitions") as tr:
        sink = ParquetDatasink(
            f"{at.url}/table", overwrite=True, partition_cols=["part"], storage_options=at.options, compression="zstd"
        )
        data.write_datasink(sink)
        tr.pipe(f"{at.main}/README.md", b"# Table")
    assert at.titles[0] == "partitions"
    assert len(at.titles) == 2
    assert at.files() == ["README.md", *(f"table/part={part}/part-00000-0-0.parquet" for part in range(3))]


def test_one_that_fails_is_nothing(at: Tool) -> None:
    def fail(row: dict[str, Any]) -> dict[str, Any]:
        if row["number"] == 999:
            raise ZeroDivisionError
        return row

    with pytest.raises(ray.exceptions.RayTaskError):
        dataset().map(fail).write_datasink(ParquetDatasink(f"{at.url}/table", storage_options=at.options))
    assert at.count(COMMIT) == 0
    assert at.files() == []


def test_a_worker_that_dies(at: Tool, tmp_path: Path) -> None:
    marker = str(tmp_path / "died")

    def once(row: dict[str, Any]) -> dict[str, Any]:
        if row["number"] == 500:
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return row
            os.kill(os.getpid(), signal.SIGKILL)
        return row

    sink = ParquetDatasink(f"{at.url}/table", message="in spite of it", storage_options=at.options)
    dataset().map(once).write_datasink(sink)
    assert Path(marker).exists()
    assert at.titles == ["in spite of it"]
    assert sorted(pd.read_parquet(f"{at.url}/table")["number"]) == list(range(1000))


def test_a_sink_that_makes_no_sense(at: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(XetURLError):
        ParquetDatasink("/tmp/table")
    with pytest.raises(XetURLError):
        ParquetDatasink(at.url)
    with pytest.raises(TypeError):
        ParquetDatasink(f"{at.url}/table", filesystem="xet")  # type: ignore[arg-type]
    sink = pickle.loads(pickle.dumps(ParquetDatasink(f"{at.url}/table", message="m")))
    assert (sink.get_name(), sink.commit) == ("XetParquet", None)
    monkeypatch.setattr("pyarrow.__version__", "20.0.0")
    with pytest.raises(ConfigError):
        ParquetDatasink(f"{at.url}/table")
