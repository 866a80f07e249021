"""transformers with Xet: by a snapshot, and by the Hub's interface of the local endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.faults import XORB, FaultProxy, answer
from transformers import BertConfig, BertModel

import pyxet
from pyxet.testing import LocalEndpoint


@pytest.fixture
def tiny(tmp_path: Path) -> BertModel:
    """A model of a few kilobytes, and its files in ``tiny``."""
    config = BertConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    model = BertModel(config)
    model.save_pretrained(tmp_path / "tiny")
    return model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def same(one: BertModel, other: BertModel) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_from_pretrained_of_a_snapshot(
    xet: pyxet.XetFS, url: str, main: str, options: dict[str, str], tiny: BertModel, tmp_path: Path
) -> None:
    xet.put(f"{tmp_path}/tiny/", main, recursive=True, message="tiny")
    assert [commit.message for commit in xet.log(main, limit=1)] == ["tiny"]
    assert same(BertModel.from_pretrained(pyxet.snapshot(url, storage_options=options)), tiny)


def test_from_pretrained_by_the_endpoint(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, repo: str, tiny: BertModel, tmp_path: Path
) -> None:
    xet.put(f"{tmp_path}/tiny/", f"{repo}/main", recursive=True)
    code = (
        "import sys; from transformers import BertModel; "
        "BertModel.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])"
    )
    settings = {
        "HF_ENDPOINT": shared_endpoint.url, "HF_TOKEN": shared_endpoint.token, "HF_HOME": str(tmp_path / "hf"),
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", code, repo, str(tmp_path / "back")], env=os.environ | settings, check=True)
    assert same(BertModel.from_pretrained(tmp_path / "back"), tiny)


def test_a_failure_leaves_no_folder_that_looks_like_a_model(
    through: tuple[FaultProxy, pyxet.XetFS], main: str, tiny: BertModel, tmp_path: Path
) -> None:
    proxy, fs = through
    fs.put(f"{tmp_path}/tiny/", main, recursive=True)
    proxy.rule(XORB, answer(500))
    with pytest.raises(pyxet.ServerError):
        fs.snapshot(main, tmp_path / "model")
    assert not (tmp_path / "model/model.safetensors").exists()
    proxy.clear()
    assert same(BertModel.from_pretrained(fs.snapshot(main, tmp_path / "model")), tiny)


def test_an_interrupted_checkpoint_is_not_committed(
    xet: pyxet.XetFS, main: str, tiny: BertModel, tmp_path: Path
) -> None:
    xet.put(f"{tmp_path}/tiny/", f"{main}/checkpoint", recursive=True)
    before = xet.branch_info(main)["commit"]
    config = json.loads((tmp_path / "tiny/config.json").read_text())
    (tmp_path / "tiny/config.json").write_text(json.dumps(config | {"vocab_size": 1}))

    def train() -> None:
        with xet.transaction(message="checkpoint"):
            xet.put(f"{tmp_path}/tiny/", f"{main}/checkpoint", recursive=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert xet.branch_info(main)["commit"] == before
    assert same(BertModel.from_pretrained(xet.snapshot(f"{main}/checkpoint")), tiny)
