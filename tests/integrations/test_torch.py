"""PyTorch on `xet://`: data loaders with workers that are forked and spawned, and models."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

import pyxet
from pyxet.errors import NotFoundError
from pyxet.testing import LocalEndpoint

# Python 3.12 and later warn of forks where there are threads; what forks here is PyTorch, whose default it is.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

FILES = {f"samples/{number:03}.bin": random.Random(number).randbytes(2000) for number in range(24)}


class Samples(Dataset[torch.Tensor]):
    """A file for each sample. The file system is made before the workers are, and goes with the dataset."""

    def __init__(self, fs: pyxet.XetFS, folder: str) -> None:
        self.fs = fs
        self.paths = fs.find(folder)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.frombuffer(bytearray(self.fs.cat_file(self.paths[index])), dtype=torch.uint8)


class Batched(Samples):
    """The samples of a batch in a few requests."""

    def __getitems__(self, indices: list[int]) -> list[torch.Tensor]:
        contents = self.fs.cat_ranges([self.paths[index] for index in indices], None, None, on_error="raise")
        return [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in contents]


class Lines(IterableDataset[int]):
    """A line for each sample; each worker takes its share."""

    def __init__(self, fs: pyxet.XetFS, path: str) -> None:
        self.fs, self.path = fs, path

    def __iter__(self) -> Iterator[int]:
        worker = get_worker_info()
        with self.fs.open(self.path, "r") as file:
            for number, line in enumerate(file):
                if number % worker.num_workers == worker.id:
                    yield int(line)


@pytest.fixture
def samples(xet: pyxet.XetFS, main: str) -> str:
    lines = "\n".join(map(str, range(50)))
    xet.pipe({f"{main}/{name}": content for name, content in FILES.items()} | {f"{main}/lines.txt": lines.encode()})
    return main


@pytest.mark.parametrize("kind", [Samples, Batched])
def test_forked_workers(xet: pyxet.XetFS, samples: str, kind: type[Samples]) -> None:
    dataset = kind(xet, f"{samples}/samples")
    # Used in this process first: its loop, connections and thread do not survive the fork.
    assert bytes(dataset[0]) == FILES["samples/000.bin"]
    loader = DataLoader(dataset, batch_size=5, num_workers=2, multiprocessing_context="fork")
    for _ in range(2):
        batches = list(loader)
        assert [len(batch) for batch in batches] == [5, 5, 5, 5, 4]
        assert [bytes(sample) for batch in batches for sample in batch] == list(FILES.values())
    assert xet.cat_file(f"{samples}/samples/001.bin") == FILES["samples/001.bin"]


def test_forked_workers_of_a_stream(xet: pyxet.XetFS, samples: str) -> None:
    loader = DataLoader(Lines(xet, f"{samples}/lines.txt"), batch_size=4, num_workers=2, multiprocessing_context="fork")
    assert sorted(torch.cat(list(loader)).tolist()) == list(range(50))


def test_errors_of_workers(xet: pyxet.XetFS, samples: str) -> None:
    dataset = Samples(xet, f"{samples}/samples")
    dataset.paths[3] = f"{samples}/nope"
    # PyTorch raises an error of the same type, made of the text of the worker's.
    with pytest.raises(NotFoundError, match="Caught EntryNotFoundError in DataLoader worker"):
        list(DataLoader(dataset, num_workers=1, multiprocessing_context="fork"))


# As a program, since spawned workers import what started them, and for its end.
PROGRAM = """
import sys
sys.path.insert(0, {folder!r})
from test_torch import Batched, Lines
import pyxet, torch
from torch.utils.data import ConcatDataset, DataLoader

if __name__ == "__main__":
    fs = pyxet.XetFS()
    loader = DataLoader(
        Batched(fs, {main!r} + "/samples"), batch_size=6, num_workers=1, shuffle=True,
        multiprocessing_context="spawn", persistent_workers=True,
    )
    for _ in range(2):
        print(sum(len(batch) for batch in loader), file=sys.stderr)
    # Left in the middle, with workers and open files.
    stream = iter(DataLoader(Lines(fs, {main!r} + "/lines.txt"), num_workers=1, multiprocessing_context="spawn"))
    print(next(stream).item(), file=sys.stderr)
"""


def test_spawned_workers_and_the_end_of_a_program(
    shared_endpoint: LocalEndpoint, samples: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ("ENDPOINT", "url"), ("USER_NAME", "user"), ("USER_TOKEN", "token"):
        monkeypatch.setenv(f"XET_{name}", getattr(shared_endpoint, value))
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{here}:{here.parent}")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(folder=str(here), main=samples))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=150)
    assert (done.returncode, done.stderr) == (0, "24\n24\n0\n")


def test_models(xet: pyxet.XetFS, main: str) -> None:
    model = torch.nn.Linear(40, 30)
    with xet.transaction(message="a model"):
        with xet.open(f"{main}/model.pt", "wb") as file:
            torch.save(model.state_dict(), file)
        xet.pipe_file(f"{main}/epoch.txt", b"1")
    with xet.open(f"{main}/model.pt") as file:
        state = torch.load(file, weights_only=True)
    assert torch.equal(state["weight"], model.weight)
    assert [commit.message for commit in xet.log(main)] == ["a model", "initial commit"]

    class Broken:
        def __reduce__(self) -> Any:
            raise RuntimeError("cannot be pickled")

    with pytest.raises(RuntimeError, match="cannot be pickled"), xet.open(f"{main}/half.pt", "wb") as file:
        torch.save({"weight": model.weight, "broken": Broken()}, file)
    assert not xet.exists(f"{main}/half.pt")
