"""A client of the local endpoint that sends exactly the requests that a test determines, and checks nothing."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from pyxet.protocol.chunking import chunk_ends
from pyxet.protocol.hashing import chunk_hash, file_hash, hash_to_hex, term_hash
from pyxet.protocol.shard import FileEntry, ShardChunk, Term, XorbEntry, write_upload_shard
from pyxet.protocol.xorb import Xorb, XorbBuilder, encode_chunk
from pyxet.server.state import CONTENT, REPOS, TOKENS, WORKERS
from pyxet.testing import LocalEndpoint
from pyxet.types import RepoId


@dataclass(frozen=True)
class Answer:
    """An answer: status, headers (names in lower case) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        return self.headers.get("x-error-code")

    @property
    def following(self) -> str | None:
        """The path of the next page."""
        link = self.headers.get("link")
        if link is None:
            return None
        assert link.endswith('; rel="next"')
        url = urlsplit(link.partition(">")[0].removeprefix("<"))
        assert url.netloc
        return f"{url.path}?{url.query}"


class Place(Protocol):
    """Anything that has the URL of a server."""

    @property
    def url(self) -> str: ...


@dataclass(frozen=True)
class Served:
    """An endpoint in another process."""

    url: str


@dataclass(frozen=True)
class RawClient:
    """A client whose requests have a token (none if empty) and a connection of their own."""

    endpoint: Place
    token: str = ""

    def call(
        self, method: str, path: str, body: bytes | str | dict[str, Any] | None = None, **headers: str
    ) -> Answer:  # fmt: skip
        """Send a request; ``path`` may be a URL of the endpoint. ``Content_Type=…`` sets a header."""
        url = urlsplit(path if path.startswith("http") else self.endpoint.url + path)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            named.setdefault("Authorization", f"Bearer {self.token}")
        if isinstance(body, dict):
            body = json.dumps(body)
        connection = http.client.HTTPConnection(url.netloc, timeout=60)
        try:
            target = url.path + (f"?{url.query}" if url.query else "")
            connection.request(method, target, body.encode() if isinstance(body, str) else body, named)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, **headers)

    def head(self, path: str, **headers: str) -> Answer:
        return self.call("HEAD", path, **headers)

    def post(self, path: str, body: bytes | str | dict[str, Any] = b"", **headers: str) -> Answer:
        return self.call("POST", path, body, **headers)

    def make_repo(self, repo: str, **more: Any) -> None:
        """Make an empty repository, without the ``.gitattributes`` that new ones have."""
        owner, name = repo.split("/")
        if isinstance(self.endpoint, LocalEndpoint):
            app = self.endpoint.start().app
            user = app[TOKENS].account(self.token).user
            private = bool(more.get("private")) or more.get("visibility") == "private"
            made = RepoId(f"{more.get('type', 'model')}s", owner, name)  # type: ignore[arg-type]  # the plural is the kind
            app[CONTENT].index.forget_holder(made.path)
            # In a worker thread of the endpoint, whose umask makes new files private.
            app[WORKERS].submit(app[REPOS].create, made, user=user, private=private).result()
            return
        answer = self.post("/api/repos/create", {"name": name, "organization": owner, **more})
        assert answer.status == 200, answer
        assert self.commit(repo, ("deletedFile", {"path": ".gitattributes"})).status == 200

    def commit(self, repo: str, *lines: tuple[str, dict[str, Any]], branch: str = "main", **header: Any) -> Answer:
        """Make a commit from ``(key, value)`` lines."""
        everything = [("header", {"summary": "a commit", "description": "", **header}), *lines]
        body = "\n".join(json.dumps({"key": key, "value": value}) for key, value in everything)
        return self.post(f"/api/models/{repo}/commit/{quote(branch, safe='')}", body)

    def write(self, repo: str, files: dict[str, str | bytes], branch: str = "main") -> str:
        """Commit regular files; return the commit's id."""
        answer = self.commit(repo, *(regular(path, content) for path, content in files.items()), branch=branch)
        assert answer.status == 200, answer
        return str(answer.json["commitOid"])

    def cas(self, repo: str, scope: str = "write") -> RawClient:
        """A client like this one, with a Xet token for a repository."""
        answer = self.get(f"/api/models/{repo}/xet-{scope}-token/main")
        assert answer.status == 200, answer
        return replace(self, token=answer.json["accessToken"])

    def upload(self, repo: str, content: bytes) -> Content:
        """Store content: upload its xorb and its shard."""
        made = Content.of(content)
        cas = self.cas(repo)
        if made.xorb:
            assert cas.post(f"/v1/xorbs/default/{made.xorb_name}", made.xorb_bytes).status == 200
        answer = cas.post("/v2/shards", made.shard())
        assert json.loads(answer.body.splitlines()[-1])["type"] == "result", answer
        return made


class Basic(RawClient):
    """A client with basic authentication, as git uses it: its token is ``user:secret``."""

    def call(
        self, method: str, path: str, body: bytes | str | dict[str, Any] | None = None, **headers: str
    ) -> Answer:  # fmt: skip
        given = base64.b64encode(self.token.encode()).decode()
        return super().call(method, path, body, Authorization=f"Basic {given}", **headers)


@dataclass(frozen=True)
class Content:
    """Content as a client uploads it, in one xorb."""

    data: bytes
    xorb: Xorb | None
    entry: FileEntry

    @classmethod
    def of(cls, data: bytes) -> Content:
        builder = XorbBuilder()
        start = 0
        for end in chunk_ends(data):
            piece = data[start:end]
            builder.add(encode_chunk(piece, chunk_hash(piece)))
            start = end
        xorb = builder.build() if data else None
        chunks = [(chunk.hash, chunk.raw_length) for chunk in xorb.info.chunks] if xorb else []
        terms = (Term(xorb.info.hash, 0, len(chunks), len(data)),) if xorb else ()
        checks = (term_hash(value for value, _ in chunks),) if xorb else ()
        return cls(data, xorb, FileEntry(file_hash(chunks), terms, checks, hashlib.sha256(data).hexdigest()))

    @property
    def xorb_name(self) -> str:
        assert self.xorb is not None
        return hash_to_hex(self.xorb.info.hash)

    @property
    def xorb_bytes(self) -> bytes:
        assert self.xorb is not None
        return b"".join(self.xorb.slices)

    @property
    def xorb_entry(self) -> XorbEntry:
        assert self.xorb is not None
        return XorbEntry(
            self.xorb.info.hash, tuple(ShardChunk(chunk.hash, chunk.raw_length) for chunk in self.xorb.info.chunks)
        )

    @property
    def name(self) -> str:
        return hash_to_hex(self.entry.file_hash)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def shard(self, **changes: Any) -> bytes:
        """The shard, with fields of the file entry changed."""
        return write_upload_shard([replace(self.entry, **changes)], [self.xorb_entry] if self.xorb else [])

    def line(self, path: str, **changes: Any) -> tuple[str, dict[str, Any]]:
        """The line of a commit that adds this content as a large file."""
        return "lfsFile", {"path": path, "algo": "sha256", "oid": self.sha256, "size": len(self.data), **changes}


def regular(path: str, content: str | bytes) -> tuple[str, dict[str, Any]]:
    """The line of a commit that adds a regular file."""
    data = content.encode() if isinstance(content, str) else content
    return "file", {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"}
