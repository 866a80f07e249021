"""Content of others: deduplication across repositories and users, which tells nothing of what is private."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from support.hf_client import run_hf
from support.raw_client import Content, RawClient
from support.rights import NOISE, fresh, own, repository

import pyxet
from pyxet.protocol.hashing import hash_to_hex
from pyxet.protocol.shard import parse_shard, write_upload_shard
from pyxet.server import receiving
from pyxet.server.ingest import XorbUpload
from pyxet.testing import LocalEndpoint


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the xorbs that were sent, as they come."""
    names: list[str] = []

    class Noted(XorbUpload):
        def check(self, name: str) -> Any:
            names.append(name)
            return super().check(name)

    monkeypatch.setattr(receiving, "XorbUpload", Noted)
    return names


def test_a_second_user_deduplicates_against_what_is_public(
    endpoint: LocalEndpoint, owner: RawClient, eve: RawClient, sent: list[str]
) -> None:
    public, closed = repository(owner, private=False), repository(owner, private=True)
    data = {repo: NOISE.randbytes(3_000_000) for repo in (public, closed)}
    first = pyxet.XetFS(endpoint.url, "acme", owner.token)
    for repo, content in data.items():
        first.pipe(f"{repo}/main/a.bin", content)
    assert len(set(sent)) == 2
    second = pyxet.XetFS(endpoint.url, "eve", eve.token)
    for repo, content in data.items():
        sent.clear()
        second.pipe(f"{own(eve)}/main/{repo[5:]}.bin", content)
        assert len(sent) == (repo == closed), repo
        assert second.cat(f"{own(eve)}/main/{repo[5:]}.bin") == content
    # Who has sent it once deduplicates against it, wherever it is.
    sent.clear()
    name = f"{own(eve).partition('/')[0]}/more"
    eve.make_repo(name)
    for repo, content in data.items():
        second.pipe(f"{name}/main/{repo[5:]}.bin", content)
    assert not sent


def test_what_is_private_is_as_what_is_not_there(owner: RawClient, eve: RawClient) -> None:
    closed = repository(owner, private=True)
    # Of several chunks each: of one chunk the xorb would have the chunk's name.
    secret, unknown = owner.upload(closed, NOISE.randbytes(300_000)), fresh(300_000)
    assert owner.commit(closed, secret.line("a.bin")).status == 200
    mine = eve.cas(own(eve))

    def told(content: Content) -> list[tuple[int, bytes]]:
        """All that may be asked about content, without its own names."""
        assert content.xorb is not None
        chunk = hash_to_hex(content.xorb.info.chunks[0].hash)
        answers = [
            mine.get(f"/v1/chunks/default/{chunk}"), mine.head(f"/v1/xorbs/default/{content.xorb_name}"),
            mine.head(f"/v1/files/{content.name}"), mine.get(f"/v2/reconstructions/{content.name}"),
            mine.get(f"/v1/reconstructions?file_id={content.name}"), mine.post("/v1/shards", content.shard()),
            mine.post("/v1/shards", write_upload_shard([content.entry], [])),
            mine.post(f"/v1/xorbs/default/{content.xorb_name}", b"not the xorb"),
            # What they know the name of and not the bytes they have not sent.
            mine.post(f"/v1/xorbs/default/{content.xorb_name}", fresh(1000).xorb_bytes),
            mine.post("/v1/shards", content.shard()), eve.commit(own(eve), content.line("a.bin")),
        ]  # fmt: skip
        names = {content.name: b"FILE", content.xorb_name: b"XORB", chunk: b"CHUNK", content.sha256: b"SHA"}
        bodies = [answer.body for answer in answers]
        for name, word in names.items():
            bodies = [body.replace(name.encode(), word) for body in bodies]
        # The hash of what was sent instead differs.
        bodies[8] = bodies[8].split(b"hash is")[0]
        return [(answer.status, body) for answer, body in zip(answers, bodies, strict=True)]

    assert told(secret) == told(unknown)
    # Sending it tells nothing either.
    for content in (secret, unknown):
        assert mine.post(f"/v1/xorbs/default/{content.xorb_name}", content.xorb_bytes).json == {"was_inserted": True}
        assert mine.post(f"/v1/xorbs/default/{content.xorb_name}", content.xorb_bytes).json == {"was_inserted": False}
        assert mine.head(f"/v1/files/{content.name}").status == 404
        assert mine.post("/v1/shards", content.shard()).json == {"result": 1}
        assert mine.head(f"/v1/files/{content.name}").status == 200


def test_a_private_copy_does_not_hide_a_public_one(owner: RawClient, eve: RawClient) -> None:
    data = NOISE.randbytes(400_000)
    public = owner.upload(repository(owner, private=False), data)
    closed = repository(owner, private=True)
    others = [owner.upload(closed, data + bytes([number])) for number in range(3)]
    assert public.xorb is not None
    chunk = public.xorb.info.chunks[0].hash
    assert all(other.xorb is not None and other.xorb.info.chunks[0].hash == chunk for other in others)
    answer = eve.cas(own(eve)).get(f"/v1/chunks/default/{hash_to_hex(chunk)}")
    assert [entry.xorb_hash for entry in parse_shard(answer.body).xorbs] == [public.xorb.info.hash]
    # The owner is told of the newest.
    answer = owner.cas(closed).get(f"/v1/chunks/default/{hash_to_hex(chunk)}")
    newest = others[-1].xorb
    assert newest is not None
    assert [entry.xorb_hash for entry in parse_shard(answer.body).xorbs] == [newest.info.hash]


def test_hf_xet_sends_one_file_to_two_repositories(endpoint: LocalEndpoint, owner: RawClient, sent: list[str]) -> None:
    one, two, three = (repository(owner, private=True) for _ in range(3))
    user = replace(endpoint_as(endpoint, owner), token=owner.token)
    code = """
import pathlib
path = pathlib.Path("data.bin")
path.write_bytes(os.urandom(6_000_000))
answer = []
for repo in given["repos"]:
    if repo == given["repos"][2]:
        # Its xorbs are in no repository then that anybody may read.
        [api.delete_repo(gone) for gone in given["repos"][:2]]
    api.upload_file(path_or_fileobj=path, path_in_repo="data.bin", repo_id=repo)
    downloaded = hf_hub_download(repo, "data.bin", endpoint=os.environ["HF_ENDPOINT"], token=os.environ["HF_TOKEN"])
    answer.append(pathlib.Path(downloaded).read_bytes() == path.read_bytes())
"""
    assert run_hf(user, code, repos=[one, two, three]) == [True, True, True]
    assert len(sent) == len(set(sent)) == 1


@dataclass(frozen=True)
class As:
    """An endpoint as another user sees it."""

    url: str
    token: str


def endpoint_as(endpoint: LocalEndpoint, client: RawClient) -> As:
    return As(endpoint.url, client.token)
