"""A user's program: mypy and pyright have to see in it the types that a user expects. It is checked, never run."""

from __future__ import annotations

import io
from collections.abc import Generator
from datetime import datetime
from typing import Any, BinaryIO, Literal, assert_type

import pyxet
from pyxet import AsyncXetFileSystem, Commit, FilePointer, Info, PathChange, Transaction, XetFS
from pyxet.fs import AsyncXetReadFile, AsyncXetWriteFile, XetReadFile, XetWriteFile
from pyxet.types import BranchInfo, RefInfo, TagInfo

FILE = "acme/titanic/main/titanic.csv"


def making() -> None:
    assert_type(XetFS(), XetFS)
    assert_type(XetFS("local", user="me", token="hf_x", limits=pyxet.Limits(concurrency=4)), XetFS)
    assert_type(XetFS(listings_expiry_time=0, limits={"concurrency": 4}, skip_instance_cache=True), XetFS)
    assert_type(XetFS.from_url(f"xet://{FILE}"), XetFS)
    assert_type(AsyncXetFileSystem(asynchronous=True), AsyncXetFileSystem)


def looking(fs: XetFS, detail: bool) -> None:
    info = fs.info(FILE, refresh=True, timeout=5)
    assert_type(info, Info)
    assert_type(info["size"], int)
    assert_type(info["type"], Literal["file", "directory"])
    assert_type(info["blob_id"], str)
    assert_type(info.get("sha256"), str | None)
    assert_type(info.get("last_modified"), datetime | None)
    assert_type(fs.ls("acme"), list[Info])
    assert_type(fs.ls("acme", detail=True), list[Info])
    assert_type(fs.ls("acme", detail=False), list[str])
    assert_type(fs.ls("acme", False), list[str])
    assert_type(fs.ls("acme", detail), list[Info] | list[str])
    assert_type(fs.find(FILE), list[str])
    assert_type(fs.find(FILE, detail=True), dict[str, Info])
    assert_type(fs.glob("acme/titanic/main/*.csv", timeout=9.5), list[str])
    assert_type(fs.glob("acme/titanic/main/*.csv", detail=True), dict[str, Info])
    assert_type(fs.du("acme/titanic/main"), int)
    assert_type(fs.du("acme/titanic/main", total=False), dict[str, int])
    for folder, folders, files in fs.walk("acme/titanic/main"):
        assert_type(folder, str)
        assert_type(folders, list[str])
        assert_type(files, list[str])
    for _, _, infos in fs.walk("acme/titanic/main", detail=True):
        assert_type(infos, dict[str, Info])
    assert_type(fs.scan("acme/titanic/main"), Generator[list[Info], None, None])
    assert_type(fs.exists(FILE), bool)
    assert_type(fs.isdir(FILE), bool)
    assert_type(fs.isfile(FILE), bool)
    assert_type(fs.size(FILE), int)
    assert_type(fs.sizes([FILE]), list[int])
    assert_type(fs.modified(FILE), datetime)
    assert_type(fs.created(FILE), datetime)
    assert_type(fs.url(FILE), str)
    assert_type(fs.stat(FILE), Info)
    assert_type(fs.endpoint, str)
    assert_type(fs.limits, pyxet.Limits)


def reading(fs: XetFS) -> None:
    assert_type(fs.cat_file(FILE, start=0, end=4), bytes)
    assert_type(fs.read_bytes(FILE), bytes)
    assert_type(fs.read_text(FILE), str)
    assert_type(fs.cat(FILE), bytes)
    assert_type(fs.cat([FILE]), dict[str, bytes])
    assert_type(fs.cat([FILE], on_error="return"), dict[str, bytes | Exception])
    assert_type(fs.cat("acme/titanic/main", recursive=True), dict[str, bytes])
    assert_type(fs.cat_ranges([FILE], [0], [4], on_error="raise"), list[bytes])
    assert_type(fs.cat_ranges([FILE], 0, 4), list[bytes | Exception])
    assert_type(fs.stream(FILE, start=4), Generator[bytes, None, None])
    fs.get(FILE, "titanic.csv")
    fs.get_file(FILE, "titanic.csv")
    fs.download("acme/titanic/main/", "data/", recursive=True)


def opening(fs: XetFS, mode: str) -> None:
    assert_type(fs.open(FILE), XetReadFile)
    assert_type(fs.open(FILE, "rb", block_size=2**20), XetReadFile)
    assert_type(fs.open(FILE, "r"), io.TextIOWrapper)
    assert_type(fs.open(FILE, "wt", encoding="utf-8"), io.TextIOWrapper)
    assert_type(fs.open(FILE, "wb", message="new"), XetWriteFile)
    assert_type(fs.open(FILE, "rb", compression="gzip"), BinaryIO)
    assert_type(fs.open(FILE, mode), Any)
    assert_type(pyxet.open(f"xet://{FILE}"), XetReadFile)
    assert_type(pyxet.open(f"xet://{FILE}", "w", message="new"), io.TextIOWrapper)
    assert_type(pyxet.open(f"xet://{FILE}", "ab"), XetWriteFile)
    with fs.open(FILE) as file:
        assert_type(file, XetReadFile)
        assert_type(file.read(4), bytes)
        assert_type(file.tell(), int)
        assert_type(file.seek(0), int)
        assert_type(file.readlines(), list[bytes])
        for line in file:
            assert_type(line, bytes)
    with fs.open(FILE, "wb") as written:
        assert_type(written, XetWriteFile)
        assert_type(written.write(b"x"), int)


def writing(fs: XetFS) -> None:
    fs.pipe(FILE, b"x", message="new")
    fs.pipe({FILE: b"x", "acme/titanic/main/y": bytearray(1)}, mode="create")
    fs.pipe_file(FILE, memoryview(b"x"), if_match=fs.info(FILE)["blob_id"])
    assert_type(fs.write_text(FILE, "x"), int)
    fs.put("data/", "acme/titanic/main/data/", recursive=True, exclude="*.tmp")
    fs.put_file("titanic.csv", FILE, parent_commit="0" * 40)
    fs.cp(FILE, "acme/titanic/main/copy.csv")
    fs.mv(FILE, "acme/titanic/main/moved.csv")
    fs.rm([FILE], recursive=True)
    fs.rm_file(FILE)
    fs.touch(FILE)
    fs.makedirs("acme/titanic/main/data", exist_ok=True)
    pointer = fs.stage("titanic.csv", FILE)
    assert_type(pointer, FilePointer)
    assert_type(fs.commit("acme/titanic/main", [pointer]), Commit | None)


def transactions(fs: XetFS) -> None:
    with fs.transaction as tr:
        assert_type(tr, Transaction[XetFS])
        assert_type(tr.fs, XetFS)
        assert_type(tr.fs.open(FILE, "wb"), XetWriteFile)
        tr.set_commit_message("new")
        assert_type(tr.open(FILE, "wb"), XetWriteFile)
        assert_type(tr.open(FILE), XetReadFile)
        assert_type(tr.put("data/", "acme/titanic/main/data/", recursive=True, message="new"), None)
        assert_type(tr.pipe(FILE, b"x", if_match="absent"), None)
        assert_type(tr.rm([FILE], recursive=True, timeout=10.0), None)
        assert_type(tr.cp(FILE, FILE + ".copy"), None)
        assert_type(tr.mv(FILE, FILE + ".moved"), None)
    with fs.transaction(message="new", parent_commit="0" * 40) as tr:
        assert_type(tr.fs, XetFS)
    assert_type(tr.commits, tuple[Commit, ...])
    assert_type(fs.start_transaction(), Transaction[XetFS])
    fs.end_transaction()
    taken_anyhow(tr)


def taken_anyhow(tr: Transaction) -> None:
    assert_type(tr.commits, tuple[Commit, ...])


def repositories(fs: XetFS) -> None:
    assert_type(fs.list_repos("acme"), list[str])
    assert_type(fs.list_repos(detail=True), list[Info])
    assert_type(fs.list_branches("acme/titanic"), list[str])
    assert_type(fs.list_branches("acme/titanic", detail=True), list[BranchInfo])
    assert_type(fs.list_tags("acme/titanic", True), list[TagInfo])
    assert_type(fs.branch_info("acme/titanic", "main")["commit"], str)
    assert_type(fs.find_ref("acme/titanic", "main"), RefInfo)
    assert_type(fs.find_ref("acme/titanic", "main")["ref"], str | None)
    assert_type(fs.repo_info("acme/titanic"), Info)
    assert_type(fs.branch_exists("acme/titanic", "main"), bool)
    assert_type(fs.log("acme/titanic/main", limit=3), list[Commit])
    assert_type(fs.iter_log("acme/titanic/main"), Generator[Commit, None, None])
    for change in fs.diff("acme/titanic", "main", "other"):
        assert_type(change, PathChange)
    fs.make_repo("acme/new", private=True)
    fs.make_branch("acme/titanic", "main", "other")
    assert_type(fs.get_username(), str)


async def awaiting(mode: str) -> None:
    async with AsyncXetFileSystem(asynchronous=True) as fs:
        assert_type(fs, AsyncXetFileSystem)
        assert_type(await fs._info(FILE), Info)
        assert_type(await fs._ls("acme"), list[Info])
        assert_type(await fs._ls("acme", detail=False), list[str])
        assert_type(await fs._cat(FILE), bytes)
        assert_type(await fs._cat([FILE]), dict[str, bytes])
        assert_type(await fs._find(FILE, detail=True), dict[str, Info])
        async for _, _, files in fs._walk("acme/titanic/main"):
            assert_type(files, list[str])
        async for page in fs._scan("acme/titanic/main"):
            assert_type(page, list[Info])
        async with fs.open_async(FILE) as file:
            assert_type(file, AsyncXetReadFile)
            assert_type(await file.read(4), bytes)
            assert_type(await file.readline(), bytes)
            assert_type(file.seek(0), int)
            async for line in file:
                assert_type(line, bytes)
        async with fs.open_async(FILE, "wb", message="new") as written:
            assert_type(written, AsyncXetWriteFile)
            assert_type(await written.write(b"x"), int)
        assert_type(await fs.open_async(FILE), AsyncXetReadFile)
        assert_type(await fs.open_async(FILE, mode), Any)
        async for piece in fs._stream(FILE, 0, 4):
            assert_type(piece, bytes)
        await fs._pipe(FILE, b"x")
        await fs._put("data/", "acme/titanic/main/data/", recursive=True)
        async with fs.transaction(message="ingest") as tr:
            assert_type(tr, Transaction[AsyncXetFileSystem])
            await tr.fs._pipe_file(FILE, b"x")
            assert_type(await tr.pipe({FILE: b"x"}), None)
            assert_type(await tr.put("data/", "acme/titanic/main/data/", recursive=True), None)
            assert_type(await tr.rm(FILE), None)
            async with tr.open(FILE, "wb") as made:
                assert_type(made, AsyncXetWriteFile)
