"""What the pages for those who come from elsewhere call things by: there are such names, on both sides."""

from __future__ import annotations

import huggingface_hub
import huggingface_hub.errors
import pytest
from huggingface_hub import HfApi, HfFileSystem, ModelHubMixin
from support.name_tables import attributes, calls, names, options, parameters
from support.pages import DOCS

import pyxet

FOLDER = DOCS / "migration"


def test_names_of_huggingface_hub_are_its_own() -> None:
    told = names(FOLDER / "hf.md", "`hf://` and `huggingface_hub`", "`huggingface_hub`, `hf`")
    places = (huggingface_hub, HfApi, HfFileSystem, ModelHubMixin, huggingface_hub.errors)
    assert len(calls(told)) > 30
    assert {name for name in calls(told) if not any(hasattr(place, name) for place in places)} == set()
    assert options(told) - parameters(HfApi, HfFileSystem) == set()


@pytest.mark.parametrize("page", ["hf.md", "s3fs.md"])
def test_names_of_pyxet_are_its_own(page: str) -> None:
    told = names(FOLDER / page, "pyxet", "instead", "here")
    assert attributes(told, "fs")
    assert {name for name in attributes(told, "fs") if not hasattr(pyxet.XetFS, name)} == set()
    assert {name for name in attributes(told, "pyxet") if not hasattr(pyxet, name)} == set()
    # fsspec's own, which are taken and change nothing.
    ignored = {"anon", "batch_size"} if page == "s3fs.md" else set()
    there = parameters(pyxet.XetFS, pyxet.Limits, pyxet.RetryPolicy, pyxet.snapshot, pyxet.ingest)
    assert options(told) - there - ignored == set()
