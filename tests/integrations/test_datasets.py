"""`datasets` of the Hugging Face Hub: files loaded and streamed by URL, one commit for what is saved, pushes to an endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from support.faults import answer
from support.hf_client import run_hf
from support.tools import Tool, tool

import pyxet
from pyxet.testing import LocalEndpoint

ROWS = {"title": [f"film {number}" for number in range(600)], "year": [1900 + number % 120 for number in range(600)]}
FILMS = datasets.Dataset.from_dict(ROWS)


@pytest.fixture
def at(shared_endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    datasets.disable_progress_bars()
    with tool(shared_endpoint, main, monkeypatch) as found:
        with found.fs.transaction(message="films"):
            FILMS.to_csv(f"{found.url}/films.csv")
            for number in range(3):
                FILMS.select(range(number * 200, number * 200 + 200)).to_parquet(f"{found.url}/parts/{number}.parquet")
        yield found


def load(kind: str, files: Any, folder: Path, **options: Any) -> Any:
    return datasets.load_dataset(kind, data_files=files, split="train", cache_dir=str(folder), **options)


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("kind", "files"), [("csv", "films.csv"), ("parquet", "parts/*.parquet"), ("parquet", "parts/**")]
)
def test_what_was_written_is_loaded(at: Tool, tmp_path: Path, kind: str, files: str, streaming: bool) -> None:
    assert at.titles == ["films"]
    found = load(kind, f"{at.url}/{files}", tmp_path, streaming=streaming)
    assert [row["title"] for row in found] == ROWS["title"]


def test_the_options_are_those_of_the_file_system(at: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XET_ENDPOINT", "XET_USER_NAME", "XET_USER_TOKEN"):
        monkeypatch.delenv(name)
    assert load("csv", f"{at.url}/films.csv", tmp_path, storage_options=at.options).num_rows == 600


def test_a_commit_in_the_url_is_what_is_loaded(at: Tool, tmp_path: Path) -> None:
    """`datasets` keeps what it has downloaded by the URL alone: a branch that has moved is the old one to it."""
    url = f"{at.url}/films.csv"
    repo = at.main.removesuffix("main")

    def pinned() -> str:
        return f"xet://{repo}{at.fs.info(at.main)['commit']}/films.csv"

    before = pinned()
    assert [load("csv", where, tmp_path).num_rows for where in (url, before)] == [600, 600]
    FILMS.select(range(10)).to_csv(url)
    assert load("csv", pinned(), tmp_path).num_rows == 10
    assert load("csv", before, tmp_path).num_rows == 600
    assert sum(1 for _ in load("csv", url, tmp_path, streaming=True)) == 10


def test_saving_is_one_commit(at: Tool) -> None:
    with at.fs.transaction(message="saved") as tr:
        datasets.DatasetDict(train=FILMS, test=FILMS.select(range(9))).save_to_disk(
            f"{at.url}/saved", num_shards={"train": 3, "test": 1}
        )
    assert [commit.title for commit in tr.commits] == ["saved"]
    assert "saved/train/data-00002-of-00003.arrow" in at.files("saved")
    found = datasets.load_from_disk(f"{at.url}/saved")
    assert found["train"].to_dict() == ROWS
    assert found["test"].num_rows == 9


def test_processes_that_save_are_staged_beside_it(at: Tool, tmp_path: Path) -> None:
    """Other processes are in no transaction, so what they write is put into one commit afterwards."""
    FILMS.save_to_disk(tmp_path / "saved", num_shards=4, num_proc=2)
    at.fs.put(f"{tmp_path}/saved/", f"{at.main}/saved/", recursive=True, message="by two processes")
    assert at.titles == ["by two processes", "films"]
    assert datasets.load_from_disk(f"{at.url}/saved").to_dict() == ROWS


def test_what_is_not_there_is_said_to_be_missing(at: Tool, tmp_path: Path) -> None:
    for streaming in (False, True):
        with pytest.raises(FileNotFoundError, match=r"none\.csv"):
            load("csv", f"{at.url}/none.csv", tmp_path, streaming=streaming)
    with pytest.raises(FileNotFoundError):
        datasets.load_from_disk(f"{at.url}/none")


def test_an_error_is_not_taken_for_a_missing_file(at: Tool, tmp_path: Path) -> None:
    at.proxy.rule(r"POST /api/.*/paths-info/|GET /api/.*/tree/", answer(403))
    with pytest.raises(pyxet.AccessDeniedError):
        load("csv", f"{at.url}/films.csv", tmp_path)
    with pytest.raises(pyxet.AccessDeniedError):
        datasets.load_from_disk(f"{at.url}/parts")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_saving_that_is_interrupted_leaves_nothing(at: Tool, error: type[BaseException]) -> None:
    def save() -> None:
        with at.fs.transaction(message="broken"):
            FILMS.save_to_disk(f"{at.url}/broken", num_shards=3)
            raise error

    with pytest.raises(error):
        save()
    assert at.titles == ["films"]
    assert not at.fs.exists(f"{at.main}/broken")


def test_rows_that_fail_to_be_made_publish_nothing(at: Tool) -> None:
    def rows() -> Iterator[bytes]:
        yield b"a" * 100_000
        raise ValueError("the source is gone")

    def write() -> None:
        with at.fs.open(f"{at.main}/new.jsonl", "wb") as file:
            file.writelines(rows())

    with pytest.raises(ValueError, match="gone"):
        write()
    assert "new.jsonl" not in at.files()
    assert at.titles == ["films"]


PUSH = """
import datasets
datasets.disable_progress_bars()
films = datasets.Dataset.from_dict({"n": list(range(300))})
films.push_to_hub(given["name"], num_shards=2, commit_message="pushed")
answer["rows"] = datasets.load_dataset(given["name"], split="train").num_rows
answer["first"] = next(iter(datasets.load_dataset(given["name"], split="train", streaming=True)))
answer["commit"] = failing(datasets.load_dataset, given["name"], revision="no-such-branch")
"""


def test_the_endpoint_takes_pushes_and_they_are_read_back(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, repo: str
) -> None:
    name = f"{repo}-pushed"
    told = run_hf(shared_endpoint, PUSH, name=name)
    assert told == {"rows": 300, "first": {"n": 0}, "commit": "DatasetNotFoundError"}
    found = xet.find(f"datasets/{name}/main/data")
    assert [path.rpartition("/")[2] for path in found] == [
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    assert xet.log(f"datasets/{name}/main")[0].title == "pushed"
