"""What plans tell to those who ask in other ways: batches by POST, sizes of chunks, and the other name of chunk queries."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from support.raw_client import Content, RawClient

from pyxet.protocol.hashing import hash_to_hex
from pyxet.protocol.shard import parse_shard
from pyxet.server import cas as routes
from pyxet.testing import LocalEndpoint, local_endpoint

REPO = "acme/plans"
NOISE = random.Random(1404)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint(user="acme") as running:
        RawClient(running, running.token).make_repo(REPO)
        yield running


@pytest.fixture(scope="module")
def stored(endpoint: LocalEndpoint) -> list[Content]:
    client = RawClient(endpoint, endpoint.token)
    return [client.upload(REPO, NOISE.randbytes(size)) for size in (500_000, 1000, 300_000)]


@pytest.fixture
def cas(endpoint: LocalEndpoint) -> RawClient:
    return RawClient(endpoint, endpoint.token).cas(REPO, "read")


def keys(names: list[str], prefix: str = "default") -> str:
    return json.dumps([{"prefix": prefix, "hash": name} for name in names])


def without_urls(plan: Any) -> Any:
    """Signatures say when they were made."""
    return json.loads(
        json.dumps(plan, sort_keys=True), object_hook=lambda found: {**found, "url": ""} if "url" in found else found
    )


def test_batches_by_post_are_those_by_get(cas: RawClient, stored: list[Content]) -> None:
    names = [made.name for made in stored] + ["ab" * 32]
    by_get = cas.get("/v1/reconstructions?" + "&".join(f"file_id={name}" for name in names)).json
    by_post = cas.post("/v1/reconstructions", keys(names), Content_Type="application/json").json
    assert without_urls(by_post) == without_urls(by_get)
    assert set(by_post["files"]) == {made.name for made in stored}
    assert cas.post("/v1/reconstructions", keys(names * 3)).json["files"].keys() == by_post["files"].keys()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{}", 400),
        ("[1]", 400),
        ('[{"hash": "ab"}]', 400),
        (keys(["ab" * 32], "elsewhere"), 400),
        (keys(["xyz"]), 400),
        (keys([f"{number:064x}" for number in range(1001)]), 400),
        (" " * (1 << 20) + "[]", 413),
        ("[]", 200),
    ],
)
def test_what_is_no_batch(cas: RawClient, body: str, status: int) -> None:
    assert cas.post("/v1/reconstructions", body).status == status


def sizes_in(term: dict[str, Any], stored: list[Content]) -> list[int]:
    """Raw sizes of the chunks of a term."""
    [xorb] = [made.xorb for made in stored if made.xorb and made.xorb_name == term["hash"]]
    return [chunk.raw_length for chunk in xorb.info.chunks[term["range"]["start"] : term["range"]["end"]]]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_plans_tell_the_sizes_of_chunks(cas: RawClient, stored: list[Content], version: str) -> None:
    path = f"/{version}/reconstructions/{stored[0].name}"
    for wanted in ("bytes=0-", "bytes=200000-300000", "bytes=0-0"):
        plan = cas.get(f"{path}?chunk_byte_sizes=true", Range=wanted).json
        for term in plan["terms"]:
            assert term["chunk_byte_sizes"] == sizes_in(term, stored)
            assert sum(term["chunk_byte_sizes"]) == term["unpacked_length"]
        for query in ("", "?chunk_byte_sizes=false", "?chunk_byte_sizes=1"):
            told = cas.get(path + query, Range=wanted).json["terms"]
            assert told == [
                {name: value for name, value in term.items() if name != "chunk_byte_sizes"} for term in plan["terms"]
            ]


def test_batches_tell_them_too(cas: RawClient, stored: list[Content]) -> None:
    query = "&".join(f"file_id={made.name}" for made in stored)
    for answer in (
        cas.get(f"/v1/reconstructions?{query}&chunk_byte_sizes=true"),
        cas.post("/v1/reconstructions?chunk_byte_sizes=true", keys([made.name for made in stored])),
    ):
        terms = [term for terms in answer.json["files"].values() for term in terms]
        assert [term["chunk_byte_sizes"] for term in terms] == [sizes_in(term, stored) for term in terms]


def test_plans_for_much_do_not_tell_them(
    cas: RawClient, stored: list[Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_MAX_SIZED", 400_000)
    path = f"/v2/reconstructions/{stored[0].name}?chunk_byte_sizes=true"
    assert "chunk_byte_sizes" not in cas.get(path).json["terms"][0]
    assert "chunk_byte_sizes" in cas.get(path, Range="bytes=0-1000").json["terms"][0]


def test_chunk_queries_by_the_name_in_the_specification(cas: RawClient, stored: list[Content]) -> None:
    assert stored[0].xorb is not None
    chunk = hash_to_hex(stored[0].xorb.info.chunks[0].hash)
    for prefix in ("default", "default-merkledb"):
        answer = cas.get(f"/v1/chunks/{prefix}/{chunk}")
        assert [entry.xorb_hash for entry in parse_shard(answer.body).xorbs] == [stored[0].xorb.info.hash]
        assert cas.get(f"/v1/chunks/{prefix}/{'12' * 32}").status == 404
    assert cas.get(f"/v1/chunks/merkledb/{chunk}").status == 404


def test_sizes_of_xorbs_and_files(cas: RawClient, stored: list[Content]) -> None:
    for made in stored:
        assert cas.head(f"/v1/xorbs/default/{made.xorb_name}").headers["content-length"] == str(len(made.xorb_bytes))
        assert cas.head(f"/v1/files/{made.name}").headers["content-length"] == str(len(made.data))
