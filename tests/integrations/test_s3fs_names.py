"""The page for those who come from s3fs has names that s3fs has, and all options of its file system."""

from __future__ import annotations

import builtins
import inspect

import s3fs
from fsspec.asyn import AsyncFileSystem
from support.name_tables import calls, names, options, parameters
from support.pages import DOCS

import pyxet

PAGE = DOCS / "migration" / "s3fs.md"
# How instances are kept, and listings bounded, is fsspec's.
OF_FSSPEC = {"use_listings_cache", "listings_expiry_time"}


def test_names_of_s3fs_are_its_own() -> None:
    told = names(PAGE, "s3fs")
    places = (s3fs.S3FileSystem, s3fs, builtins)
    assert len(calls(told)) > 30
    # A key of ``info``, and a word of the command.
    assert {name for name in calls(told) if not any(hasattr(place, name) for place in places)} == {"ETag", "sync"}
    there = parameters(s3fs.S3FileSystem, s3fs.S3FileSystem._open, AsyncFileSystem)
    # ``IfMatch`` is passed on to S3.
    assert options(told) - there - OF_FSSPEC == {"IfMatch"}


def test_every_option_of_s3fs_is_on_the_page() -> None:
    taken = inspect.signature(s3fs.S3FileSystem.__init__).parameters.values()
    wanted = {option.name for option in taken if option.kind is option.POSITIONAL_OR_KEYWORD} - {"self"}
    assert wanted - options(names(PAGE, "s3fs")) == set()


def test_what_is_given_without_an_option_is_on_the_page() -> None:
    """A call that both take, and that gives another thing there, is told of."""
    differ = set()
    for name, there in inspect.getmembers(s3fs.S3FileSystem, inspect.iscoroutinefunction):
        here = getattr(pyxet.AsyncXetFileSystem, name, None)
        ours = inspect.signature(here).parameters if here else {}
        for option in inspect.signature(there).parameters.values():
            if option.name in ours and isinstance(option.default, bool) and option.default != ours[option.name].default:
                differ.add(option.name)
    assert differ == {"detail"}
    assert differ - options(names(PAGE, "pyxet")) == set()
