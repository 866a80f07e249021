"""Plans, sizes, names and listings that are lies: memory and time are bounded, nothing is written where it does not belong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.batches import BATCH, read, stored
from support.contents import content
from support.faults import MIB, PLAN, RESOLVE, XORB, FaultProxy, answer, changed, world
from support.liar import head, memory_growth, raw

import pyxet
from pyxet._async.download.reconstruct import WINDOW, Downloader
from pyxet._async.download.to_file import download_to
from pyxet.config import Limits
from pyxet.errors import FormatError, IntegrityError, XetError
from pyxet.protocol.hashing import chunk_hash
from pyxet.protocol.xorb import encode_chunks
from pyxet.types import RemoteFile

SMALL = Limits(memory=16 * MIB)
PATHS = r"POST /api/.*/paths-info/"
TREE = r"GET /api/.*/tree/"
Json = dict[str, Any]


def told(change: Callable[[Any], object]) -> Any:
    """An act that changes the JSON of an answer in place."""

    def apply(body: bytes) -> bytes:
        message = json.loads(body)
        change(message)
        return json.dumps(message).encode()

    return changed(apply)


# -- plans -------------------------------------------------------------------------------------------------------------


def repeated(count: int) -> Callable[[Json], object]:
    return lambda plan: plan.update(terms=plan["terms"] * count)


def fetched_again(plan: Json) -> None:
    """Each of many terms has its chunks from another URL, so that each would be fetched and decoded."""
    (value, (fetch, *_)), *_ = plan["xorbs"].items()
    term = plan["terms"][0]
    first, last = term["range"]["start"], term["range"]["end"]
    plan["xorbs"][value] = [fetch | {"url": f"{fetch['url']}&n={number}"} for number in range(1000)]
    plan["terms"] = [term | {"unpacked_length": last - first}] * 1000


@pytest.mark.parametrize("change", [repeated(1000), repeated(6), fetched_again], ids=["long", "six", "fetches"])
@pytest.mark.parametrize("size", [100_000, 2 * WINDOW])
async def test_a_plan_brings_no_more_than_its_window(change: Callable[[Json], object], size: int) -> None:
    async with world(limits=SMALL) as it:
        file = await it.store(bytes(range(256)) * (size // 256))
        it.proxy.rule(PLAN, told(change))
        with memory_growth() as growth, pytest.raises((FormatError, IntegrityError)):
            await Downloader(it.client).read(file)
        assert growth.bytes < 64 * MIB


async def test_a_fetch_decodes_to_no_more_than_its_window() -> None:
    block = encode_chunks([(chunk_hash(bytes(128 * 1024)), bytes(128 * 1024))])[0]
    packed = bytes(block.block.memory) * 8000

    def change(plan: Json) -> None:
        plan["terms"] = [{"hash": "ab" * 32, "unpacked_length": 100_000, "range": {"start": 0, "end": 1}}]
        fetch = {"chunks": {"start": 0, "end": 8000}, "bytes": {"start": 0, "end": len(packed) - 1}}
        url = plan["xorbs"].popitem()[1][0]["url"]
        plan["xorbs"] = {"ab" * 32: [{"url": url, "ranges": [fetch]}]}

    async with world(limits=SMALL) as it:
        file = await it.store(content(401, 100_000))
        it.proxy.rule(PLAN, told(change))
        whole = {"Content_Range": f"bytes 0-{len(packed) - 1}/*"}
        it.proxy.rule(XORB, answer(206, packed, **whole))
        with memory_growth() as growth, pytest.raises(IntegrityError, match=r"decodes to much more|fetches"):
            await Downloader(it.client).read(file)
        assert growth.bytes < 64 * MIB


async def test_chunks_of_a_byte_do_not_become_millions() -> None:
    chunks = [(chunk_hash(bytes([number % 256])), bytes([number % 256])) for number in range(8192)]
    block = bytes(encode_chunks(chunks)[0].block.memory)

    def change(plan: Json) -> None:
        fetch = {"chunks": {"start": 0, "end": 8192}, "bytes": {"start": 0, "end": len(block) - 1}}
        url = plan["xorbs"].popitem()[1][0]["url"]
        plan["xorbs"] = {"ab" * 32: [{"url": url, "ranges": [fetch]}]}
        plan["terms"] = [{"hash": "ab" * 32, "unpacked_length": 8192, "range": {"start": 0, "end": 8192}}] * 2048

    async with world(limits=SMALL) as it:
        file = await it.store(content(402, WINDOW))
        it.proxy.rule(PLAN, told(change))
        it.proxy.rule(XORB, answer(206, block, Content_Range=f"bytes 0-{len(block) - 1}/*"))
        with memory_growth() as growth, pytest.raises(IntegrityError, match="chunks"):
            await Downloader(it.client).read(file)
        assert growth.bytes < 64 * MIB


async def test_a_batch_of_plans_that_lies_is_not_used() -> None:
    block = bytes(encode_chunks([(chunk_hash(b"x"), b"x") for _ in range(8192)])[0].block.memory)

    def change(plan: Json) -> None:
        url = plan["fetch_info"].popitem()[1][0]["url"].replace("/v1/xorbs/", "/lies/")
        fetch = {"range": {"start": 0, "end": 8192}, "url": url, "url_range": {"start": 0, "end": len(block) - 1}}
        plan["fetch_info"] = {"ab" * 32: [fetch]}
        term = {"hash": "ab" * 32, "unpacked_length": 100, "range": {"start": 0, "end": 8192}}
        plan["files"] = {name: [term] * 2000 for name in plan["files"]}

    async with world(limits=SMALL) as it:
        contents = [content(number, 200_000) for number in range(3)]
        files = await stored(it, contents)
        it.proxy.rule(BATCH, told(change))
        it.proxy.rule("GET /lies/", answer(206, block, Content_Range=f"bytes 0-{len(block) - 1}/*"))
        with memory_growth() as growth:
            assert await read(it, files) == contents
        assert growth.bytes < 64 * MIB


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/", "", "http://[", "http://a\r\nb/", "data:,x"])
async def test_signed_urls_that_are_none(url: str) -> None:
    async with world() as it:
        file = await it.store(content(403, 100_000))
        it.proxy.rule(PLAN, told(lambda plan: [entry[0].update(url=url) for entry in plan["xorbs"].values()]))
        with pytest.raises(IntegrityError, match="cannot be used"):
            await Downloader(it.client).read(file)
        # What a plan leads to is asked for once more, with another plan.
        assert it.proxy.count(PLAN) == 2


# -- sizes -------------------------------------------------------------------------------------------------------------

HUGE = 2**48


async def test_a_file_that_is_said_to_be_huge(tmp_path: Path) -> None:
    async with world(limits=SMALL) as it:
        reader = Downloader(it.client)
        for size in (HUGE, 2**63 - 1):
            file = replace(await it.store(content(404, 3 * MIB)), size=size)
            plain = RemoteFile(it.repo, "main", "plain", size, "ab" * 20)
            it.proxy.clear()
            it.proxy.rule(
                RESOLVE, raw(head(206, Content_Range=f"bytes 0-99/{size}", Content_Length="100") + bytes(100))
            )
            with memory_growth() as growth:
                for read in (reader.read, reader.pieces):
                    with pytest.raises(IntegrityError, match=r"expected|shorter"):
                        await read(file, 0, size)
                    with pytest.raises(XetError):
                        await read(plain, 0, size)
                for each in (file, plain):
                    with pytest.raises(XetError):
                        await download_to(reader, each, tmp_path / "a.bin", int)
            assert growth.bytes < 64 * MIB
            assert len(it.proxy.seen) < 60
        assert os.listdir(tmp_path) in ([], [".a.bin.journal"])


async def test_empty_plans_for_a_huge_file_are_asked_for_once_each(tmp_path: Path) -> None:
    async with world(limits=SMALL) as it:
        file = replace(await it.store(content(405, 3 * MIB)), size=HUGE)
        it.proxy.rule(PLAN, told(lambda plan: plan.update(terms=[], offset_into_first_range=0)))
        with pytest.raises(IntegrityError, match="shorter"):
            await Downloader(it.client).read(file)
        assert it.proxy.count(PLAN) <= 8


def test_more_than_fits_into_memory_is_said_before_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyxet._async.download.in_memory import Target

    target = Target("acme/titanic/main/a.bin", 0, HUGE)
    with pytest.raises(MemoryError, match="download it"):
        target.append([b"first"])


def test_huge_files_in_the_file_system(through: tuple[FaultProxy, pyxet.XetFS], main: str, tmp_path: Path) -> None:
    proxy, fs = through
    path = f"{main}/a.bin"
    fs.pipe_file(path, content(406, 3 * MIB))

    def enlarge(entries: Any) -> None:
        for entry in entries:
            entry.update(size=HUGE, lfs=(entry.get("lfs") or {}) | {"size": HUGE})

    proxy.rule(PATHS, told(enlarge))
    fs.invalidate_cache()
    with memory_growth() as growth:
        assert fs.size(path) == HUGE
        assert fs.cat_file(path, 0, 100) == content(406, 3 * MIB)[:100]
        assert fs.head(path, 10) == content(406, 3 * MIB)[:10]
        for attempt in (
            lambda: fs.cat_file(path),
            lambda: fs.cat([path], on_error="raise"),
            lambda: fs.get_file(path, str(tmp_path / "a.bin")),
            lambda: fs.tail(path, 10),
            lambda: fs.cat_ranges([path], [HUGE - 10], [HUGE], on_error="raise"),
            lambda: fs.read_block(path, HUGE // 2, 100),
            lambda: fs.open(path, "rb").read(),
        ):
            with pytest.raises(IntegrityError):
                attempt()
    assert growth.bytes < 200 * MIB


# -- listings ----------------------------------------------------------------------------------------------------------


def entry(path: str, **more: Any) -> Json:
    return {"type": "file", "path": path, "oid": "ab" * 20, "size": 3} | more


@pytest.mark.parametrize(
    "link",
    [lambda n: "/api/models/acme/x/tree/main?cursor=1", lambda n: f"/api/models/acme/x/tree/main?cursor={n % 2}",
     lambda n: f"/api/models/acme/x/tree/main?cursor={n}"],
    ids=["itself", "ping-pong", "for ever"],
)  # fmt: skip
@pytest.mark.parametrize("body", [[], [entry("a")]], ids=["empty", "same"])
async def test_pages_come_to_an_end(link: Callable[[int], str], body: list[Json]) -> None:
    numbers = iter(range(10**9))

    async def page(proxy: FaultProxy, request: Any) -> Any:
        more = {"Link": f'<{proxy.url}{link(next(numbers))}>; rel="next"'}
        return await answer(200, json.dumps(body).encode(), **more)(proxy, request)

    async with world() as it:
        it.proxy.rule("GET /api/", page)
        repo = replace(it.repo, owner="acme", name="x")
        for listing in (
            lambda: it.client.hub.tree(repo, "main", recursive=True),
            lambda: it.client.hub.list_repos("acme", "models"),
            lambda: it.client.hub.commits(repo, "main"),
        ):
            it.proxy.seen.clear()
            with pytest.raises(FormatError):
                [found async for found in listing()]
            assert it.proxy.count("GET /api/") < 20


BAD_PATHS = [
    "../evil", "/etc/passwd", "data/../../evil", "..", ".", "", "a//b", "a/", "data/./x", ".git/hooks/post-checkout",
    "data/.GIT/config", "a\0b", "data/..",
]  # fmt: skip


@pytest.mark.parametrize("path", [*BAD_PATHS, "elsewhere/a", "data/deep/a", "database"])
async def test_paths_that_do_not_belong_into_a_listing(path: str) -> None:
    async with world() as it:
        it.proxy.rule(TREE, answer(200, json.dumps([entry(path)]).encode()))
        with pytest.raises(FormatError, match="does not belong"):
            [page async for page in it.client.hub.tree(it.repo, "main", "data")]


@pytest.mark.parametrize("path", [*BAD_PATHS, "b"])
async def test_paths_that_were_not_asked_for(path: str) -> None:
    async with world() as it:
        it.proxy.rule(PATHS, answer(200, json.dumps([entry(path)]).encode()))
        with pytest.raises(FormatError, match="does not belong"):
            await it.client.hub.paths_info(it.repo, "main", ["a"])


@pytest.mark.parametrize(
    "fields",
    [{"oid": ""}, {"oid": "../../x"}, {"oid": "g" * 40}, {"xetHash": "x"}, {"xetHash": "../" * 21 + "a"},
     {"lfs": {"oid": "/etc/passwd", "size": 3}}, {"size": -1}, {"size": 2**64}, {"size": "3"}, {"size": 1e300}],
)  # fmt: skip
async def test_fields_of_entries(fields: Json, tmp_path: Path) -> None:
    async with world() as it:
        it.proxy.rule(PATHS, answer(200, json.dumps([entry("a", **fields)]).encode()))
        with pytest.raises(FormatError):
            await it.client.hub.paths_info(it.repo, "main", ["a"])


@pytest.mark.parametrize("name", ["..", ".", "", "a\nb", "a\x1b[2J"])
async def test_names_of_branches_and_repositories(name: str) -> None:
    async with world() as it:
        branch = {"name": name, "ref": "refs/heads/x", "targetCommit": "ab" * 20}
        for key in ("branches", "tags"):
            it.proxy.clear()
            it.proxy.rule("GET /api/.*/refs", answer(200, json.dumps({key: [branch]}).encode()))
            with pytest.raises(FormatError, match="not a valid name"):
                await it.client.hub.refs(it.repo)
        it.proxy.rule("GET /api/models", answer(200, json.dumps([{"id": f"acme/{name}"}]).encode()))
        with pytest.raises(FormatError, match="not a valid name"):
            [info async for info in it.client.hub.list_repos("acme", "models")]


@pytest.mark.parametrize("commit", ["main", "", "../..", "ab" * 19, "AB" * 20, "ab" * 20 + "\n"])
async def test_commits_that_are_none(commit: str) -> None:
    async with world() as it:
        if commit.isprintable():
            it.proxy.rule(PATHS, answer(200, b"[]", X_Repo_Commit=commit))
            with pytest.raises(FormatError, match="commit"):
                await it.client.hub.paths_info(it.repo, "main", ["a"])
        bodies: dict[str, Any] = {
            "GET /api/.*/revision/": {"id": "acme/x", "sha": commit},
            "GET /api/.*/refs": {"branches": [{"name": "main", "ref": "", "targetCommit": commit}]},
            "GET /api/.*/commits/": [{"id": commit, "title": "", "date": "2026-01-01"}],
            "POST /api/.*/commit/": {"commitOid": commit, "commitUrl": ""},
        }
        for pattern, body in bodies.items():
            it.proxy.rule(pattern, answer(200, json.dumps(body).encode()))
        for call in (
            it.client.hub.repo_info(it.repo, "main"),
            it.client.hub.refs(it.repo),
            anext(it.client.hub.commits(it.repo, "main")),
            it.client.hub.commit(it.repo, "main", [b"{}"]),
        ):
            with pytest.raises(FormatError, match="commit"):
                await call


@pytest.mark.parametrize("date", ["", "yesterday", "2026-13-01", "9" * 5000, "2026-01-01T00:00:00+99:99"])
async def test_dates_that_are_none(date: str) -> None:
    async with world() as it:
        body = json.dumps([{"id": "ab" * 20, "title": "", "date": date}]).encode()
        it.proxy.rule("GET /api/.*/commits/", answer(200, body))
        with pytest.raises(FormatError, match="date"):
            await anext(it.client.hub.commits(it.repo, "main"))


def test_a_date_without_a_time_zone_compares_with_others(through: tuple[FaultProxy, pyxet.XetFS], main: str) -> None:
    proxy, fs = through
    fs.pipe_file(f"{main}/a", b"a")
    proxy.rule("GET /api/.*/commits/", told(lambda log: [commit.update(date=commit["date"][:19]) for commit in log]))
    assert fs.cat_file(f"{main}@{{now}}/a") == b"a"


def _renamed(path: str, entries: Any) -> None:
    """Give the first entry of a listing another path."""
    entries[0].update(path=path)


def test_a_listing_that_leads_out_of_the_target_writes_nothing(
    through: tuple[FaultProxy, pyxet.XetFS], main: str, tmp_path: Path
) -> None:
    proxy, fs = through
    fs.pipe({f"{main}/data/a": b"a", f"{main}/data/b": b"b"})
    for evil in ("data/../../../evil", "/evil", "data/.git/config"):
        proxy.clear()
        proxy.rule(TREE, told(partial(_renamed, evil)))
        fs.invalidate_cache()
        with pytest.raises(FormatError):
            fs.get(f"{main}/data", str(tmp_path / "in" / "target"), recursive=True)
        with pytest.raises(FormatError):
            fs.find(f"{main}/data")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
