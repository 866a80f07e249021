"""Ingests from an object store, where folders are nothing but names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs
from moto.server import ThreadedMotoServer

import pyxet

MIB = 1024 * 1024
OBJECTS = {
    "corpus/a.bin": os.urandom(1000),
    "corpus/folder/": b"",  # a mark that there is a folder, as web consoles make them
    "corpus/folder/b.bin": os.urandom(3 * MIB),
    "corpus/folder/below/text.txt": b"text\n",
    "corpus/folder/below/empty": b"",
    "corpus-2/not-this.bin": b"\0",
}


@pytest.fixture(scope="module")
def options() -> Iterator[dict[str, Any]]:
    """Storage options for a store that holds the objects."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "key", "secret": "secret", "endpoint_url": f"http://{host}:{port}"}
    fs = s3fs.S3FileSystem(**options)
    fs.mkdir("bucket")
    for name, data in OBJECTS.items():
        fs.call_s3("put_object", Bucket="bucket", Key=name, Body=data)
    try:
        yield options
    finally:
        server.stop()


def test_objects(xet: pyxet.XetFS, main: str, tmp_path: Path, options: dict[str, Any]) -> None:
    def ingest() -> pyxet.IngestReport:
        return pyxet.ingest(
            "s3://bucket/corpus", f"{main}/raw", source_options=options, fs=xet, journal=tmp_path / "journal"
        )  # fmt: skip

    wanted = {
        name.replace("corpus/", f"{main}/raw/"): data
        for name, data in OBJECTS.items()
        if name.startswith("corpus/") and not name.endswith("/")
    }
    report = ingest()
    assert (report.files, report.failed) == (len(wanted), 0)
    assert xet.cat(xet.find(f"{main}/raw")) == wanted
    again = ingest()
    assert (again.resumed_files, again.commits) == (len(wanted), ())
    # As many bytes, seen by the ETag.
    changed = os.urandom(1000)
    s3fs.S3FileSystem(**options).pipe_file("bucket/corpus/a.bin", changed)
    assert ingest().resumed_files == len(wanted) - 1
    assert xet.cat_file(f"{main}/raw/a.bin") == changed


@pytest.mark.parametrize("slash", ["", "/"])
def test_keys_that_are_no_paths(
    xet: pyxet.XetFS, main: str, tmp_path: Path, options: dict[str, Any], slash: str
) -> None:  # fmt: skip
    store = s3fs.S3FileSystem(**options)
    for key in ("odd/a", "odd/a/b", "odd/", "odd//c", "odd/d//e", "odd/d/f"):
        store.call_s3("put_object", Bucket="bucket", Key=key, Body=b"" if key.endswith("/") else b"\0")

    def ingest(on_error: Any) -> pyxet.IngestReport:
        return pyxet.ingest(
            f"s3://bucket/odd{slash}", main, source_options=options, fs=xet, on_error=on_error,
            journal=tmp_path / "journal",
        )  # fmt: skip

    with pytest.raises(pyxet.IngestError, match="3 files"):
        ingest("raise")
    failures = {failure.path: failure.error for failure in ingest("skip").failures}
    assert failures.keys() == {"a", "//", "d//"}
    assert "a folder has the same name" in failures["a"]
    assert xet.find(main) == [f"{main}/a/b", f"{main}/d/f"]


def test_a_key_and_a_folder_of_one_name(
    xet: pyxet.XetFS, main: str, tmp_path: Path, options: dict[str, Any]
) -> None:  # fmt: skip
    store = s3fs.S3FileSystem(**options)
    for key in ("top", "top/a", "top/b/c"):
        store.call_s3("put_object", Bucket="bucket", Key=key, Body=b"\0" + key.encode())

    def ingest(url: str) -> pyxet.IngestReport:
        return pyxet.ingest(
            url, f"{main}/raw", source_options=options, fs=xet, journal=tmp_path / url.strip("/").replace("/", "_")
        )  # fmt: skip

    with pytest.raises(pyxet.ConfigError, match=r"a file and a folder.* slash at its end"):
        ingest("s3://bucket/top")
    assert xet.find(main) == []
    assert ingest("s3://bucket/top/").files == 2
    assert xet.cat(xet.find(main)) == {f"{main}/raw/a": b"\0top/a", f"{main}/raw/b/c": b"\0top/b/c"}
    # One that is no folder as well.
    assert ingest("s3://bucket/top/a").files == 1


def test_a_bucket_that_is_not_there(xet: pyxet.XetFS, main: str, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(FileNotFoundError):
        pyxet.ingest("s3://nowhere/corpus", main, source_options=options, fs=xet, journal=tmp_path / "journal")
