"""Answers of success that make no sense, call by call: each is an error that says so, or is understood as it was meant."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from aioresponses import CallbackResult, aioresponses
from support.mocked import URL, answers, client
from yarl import URL as Address

import pyxet
from pyxet._async.client import Client
from pyxet.types import RepoId

REPO = RepoId("models", "acme", "titanic")
ANY = re.compile(rf"{URL}/.*")
COMMIT, OTHER = "a" * 40, "b" * 40
DIGEST = "c" * 64

Ask = Callable[[Client], Awaitable[object]]


@pytest.fixture
def hub() -> Iterator[aioresponses]:
    with answers() as given:
        yield given


async def asked(ask: Ask) -> Any:
    asking = client()
    try:
        return await ask(asking)
    finally:
        await asking.transport.aclose()


async def every(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def info(it: Client) -> Awaitable[object]:
    return it.hub.repo_info(REPO)


def refs(it: Client) -> Awaitable[object]:
    return it.hub.refs(REPO, pull_requests=True)


def tree(it: Client) -> Awaitable[object]:
    return every(it.hub.tree(REPO, "main", "data"))


def deep_tree(it: Client) -> Awaitable[object]:
    return every(it.hub.tree(REPO, "main", "data", recursive=True))


def look(it: Client) -> Awaitable[object]:
    return it.hub.paths_info(REPO, "main", ["data/a.txt"])


def log(it: Client) -> Awaitable[object]:
    return every(it.hub.commits(REPO, "main"))


def token(it: Client) -> Awaitable[object]:
    return it.hub.xet_token(REPO, "main", "read")


def repos(it: Client) -> Awaitable[object]:
    return every(it.hub.list_repos("acme", "models"))


def large_files(it: Client) -> Awaitable[object]:
    return every(it.hub.lfs_files(REPO))


def pull_requests(it: Client) -> Awaitable[object]:
    return every(it.pull_requests.all(REPO))


READS = (info, refs, tree, look, log, token, repos, large_files, pull_requests)


def file(path: str = "data/a.txt", **more: object) -> dict[str, object]:
    return {"type": "file", "path": path, "oid": COMMIT, "size": 5} | more


def branch(name: str = "main", commit: str = COMMIT) -> dict[str, object]:
    return {"branches": [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}]}


def access(**more: object) -> dict[str, object]:
    return {"accessToken": "secret", "exp": 2_000_000_000, "casUrl": f"{URL}/cas"} | more


@pytest.mark.parametrize("ask", READS)
@pytest.mark.parametrize(
    "body", [b"", b"null", b"5", b'"text"', b"[5]", b'{"a"', b"<html>log in</html>", b"\xff\xfe", b"[" * 100_000]
)
async def test_no_answer_at_all(hub: aioresponses, ask: Ask, body: bytes) -> None:
    hub.get(ANY, body=body, repeat=True)
    hub.post(ANY, body=body, repeat=True)
    with pytest.raises(pyxet.XetError) as raised:
        await asked(ask)
    # Nobody may take it for a file that is not there, or for something to be tried again.
    assert not isinstance(raised.value, (FileNotFoundError, pyxet.RemoteError))
    assert len(str(raised.value)) < 1000
    assert sum(map(len, hub.requests.values())) == 1


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (info, {"id": "acme/titanic", "sha": "main"}),
        (info, {"id": "acme/titanic", "sha": COMMIT + "\n"}),
        (info, {"id": "acme/titanic", "sha": "../" * 13 + "a"}),
        (refs, branch(name="..")),
        (refs, branch(name="")),
        (refs, branch(name="a\nb")),
        (refs, branch(commit="")),
        (refs, branch(commit=COMMIT.upper())),
        (refs, {"tags": [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": "v1"}]}),
        (refs, {"pullRequests": [{"name": "1", "ref": "refs/pr/1", "targetCommit": "?"}]}),
        (tree, [file("a.txt")]),
        (tree, [file("data/../a.txt")]),
        (tree, [file("data/")]),
        (tree, [file("data/deep/a.txt")]),
        (tree, [file("data/.git")]),
        (tree, [file("data/a\0b")]),
        (tree, [file("database/a.txt")]),
        (tree, [file(oid="0")]),
        (tree, [file(size=-1)]),
        (tree, [file(size="5")]),
        (tree, [file(type="socket")]),
        (tree, [file(xetHash="c")]),
        (tree, [file(lfs={"oid": "c", "size": 5, "pointerSize": 130})]),
        (deep_tree, [file("data/deep/.GIT/config")]),
        (deep_tree, [file("data//a.txt")]),
        (look, [file("data/b.txt")]),
        (look, [file("/data/a.txt")]),
        (log, [{"id": "HEAD", "title": "x", "date": "2026-01-01T00:00:00.000Z", "authors": []}]),
        (repos, [{"id": "acme/.."}]),
        (repos, [{"id": "acme/"}]),
        (repos, [{"id": "acme/a\x1b[2Jb"}]),
        (token, access(accessToken="two\nlines")),
        (token, access(accessToken="pässword")),
        (token, access(exp=-1)),
        (token, access(exp="tomorrow")),
        (token, access(casUrl="ftp://cas.example")),
        (token, access(casUrl="file:///etc")),
        (token, access(casUrl="cas.example")),
        (token, access(casUrl="http://")),
    ],
)
async def test_what_would_lead_elsewhere(hub: aioresponses, ask: Ask, answer: object) -> None:
    hub.get(ANY, payload=answer, repeat=True)
    hub.post(ANY, payload=answer, repeat=True)
    with pytest.raises(pyxet.FormatError) as raised:
        await asked(ask)
    assert "\x1b" not in str(raised.value)
    assert "password" not in str(raised.value)


@pytest.mark.parametrize("ask", [tree, look])
@pytest.mark.parametrize("commit", ["main", "", "../x", COMMIT[:39]])
async def test_the_commit_of_a_listing(hub: aioresponses, ask: Ask, commit: str) -> None:
    hub.get(ANY, payload=[file()], headers={"X-Repo-Commit": commit})
    hub.post(ANY, payload=[file()], headers={"X-Repo-Commit": commit})
    with pytest.raises(pyxet.FormatError, match="commit"):
        await asked(ask)


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (info, {"id": "acme/titanic", "sha": COMMIT, "new": {"deep": [1]}, "author": None}),
        (refs, branch("feature/x") | {"pullRequests": [], "unknown": 5}),
        (tree, [file(new=1), file("data/b", type="directory", oid="", size=0)]),
        (look, []),
        (log, []),
        (token, access(more="x")),
        (repos, []),
    ],
)
async def test_what_is_new_or_missing_does_not_matter(hub: aioresponses, ask: Ask, answer: object) -> None:
    hub.get(ANY, payload=answer)
    hub.post(ANY, payload=answer)
    await asked(ask)


class Pages:
    """Pages of a listing, each with a header that leads to the next one."""

    def __init__(
        self, hub: aioresponses, page: Callable[[int], list[object]], link: Callable[[int], str | None]
    ) -> None:
        self.asked = 0
        self._page, self._link = page, link
        hub.get(re.compile(r"http://.*"), callback=self._answer, repeat=True)

    def _answer(self, url: Address, **_: object) -> CallbackResult:
        number, self.asked = self.asked, self.asked + 1
        link = self._link(number)
        headers = {"Link": link} if link is not None else {}
        return CallbackResult(body=json.dumps(self._page(number)).encode(), headers=headers)


def following(number: int) -> str:
    return f'<{URL}/api/models/acme/titanic/tree/main/data?cursor={number}>; rel="next"'


@pytest.mark.parametrize(
    ("page", "link"),
    [
        # Back to where it came from.
        (lambda number: [file(f"data/{number}")], lambda number: following(0)),
        # Cursors that differ, and lead to the same page.
        (lambda number: [file("data/a")], following),
        # Nothing, again and again.
        (lambda number: [], following),
    ],
    ids=["circle", "same", "empty"],
)
async def test_pages_without_end(
    hub: aioresponses, page: Callable[[int], list[object]], link: Callable[[int], str]
) -> None:
    pages = Pages(hub, page, link)
    with pytest.raises(pyxet.FormatError, match="pages do not end"):
        await asked(tree)
    assert pages.asked < 30


@pytest.mark.parametrize("last", [None, "", '<x>; rel="prev"', "nonsense", ";", ",,,"])
async def test_a_few_empty_pages_and_the_last_one(hub: aioresponses, last: str | None) -> None:
    pages = Pages(
        hub,
        lambda number: [file(f"data/{number}")] if number % 4 == 0 else [],
        lambda number: following(number + 1) if number < 8 else last,
    )
    found = await asked(tree)
    assert [entry.path for page in found for entry in page.entries] == ["data/0", "data/4", "data/8"]
    assert pages.asked == 9


async def test_a_page_of_another_server_gets_no_token(hub: aioresponses) -> None:
    there = "http://other.example/page"
    Pages(hub, lambda number: [file(f"data/{number}")], lambda number: None if number else f'<{there}>; rel="next"')
    await asked(tree)
    (own,) = [calls for (_, url), calls in hub.requests.items() if url.host == "hub.example"]
    (elsewhere,) = [calls for (_, url), calls in hub.requests.items() if url.host == "other.example"]
    assert "Authorization" in own[0].kwargs["headers"]
    assert "Authorization" not in elsewhere[0].kwargs["headers"]


@pytest.mark.parametrize("count", [0, 1, 1_000_000])
async def test_a_count_of_pull_requests_that_is_wrong(hub: aioresponses, count: int) -> None:
    request = {
        "num": 1, "title": "x", "status": "open", "isPullRequest": True, "author": {"name": "me"},
        "createdAt": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    hub.get(re.compile(r".*p=0"), payload={"discussions": [request], "count": count, "start": 0})
    hub.get(re.compile(r".*p=1"), payload={"discussions": [], "count": count, "start": 1})
    assert [found.num for found in await asked(pull_requests)] == [1]


@pytest.mark.parametrize("status", [200, 409])
async def test_a_repository_that_exists(hub: aioresponses, status: int) -> None:
    hub.post(ANY, status=status, payload={"url": f"{URL}/acme/titanic"}, repeat=True)
    await asked(lambda it: it.hub.create_repo(REPO, private=True, exist_ok=True))
    if status == 409:
        with pytest.raises(pyxet.AlreadyExistsError):
            await asked(lambda it: it.hub.create_repo(REPO, private=True))
