"""Pull requests whose answers are lost, late, or not what they should be: one comes about, or an error says that none may."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.faults import FAST, FaultProxy, answer, changed, cut, forward_then, no_answer
from support.proxied import proxied
from support.raw_client import RawClient, regular

import pyxet
from pyxet._async.changes import propose
from pyxet.errors import FormatError, NotSupportedError, ServerError
from pyxet.server.behaviour import HubBehaviour
from pyxet.testing import LocalEndpoint, local_endpoint

COMMIT = r"POST /api/.*/commit/"
LIST = r"GET /api/.*/discussions$"


@pytest.fixture
def through(shared_endpoint: LocalEndpoint, repo: str) -> Iterator[tuple[FaultProxy, pyxet.XetFS]]:
    """A proxy, and a guest's file system behind it."""
    RawClient(shared_endpoint, shared_endpoint.token).write(repo, {"a.txt": "one\n"})
    token = shared_endpoint.add_token("guest")
    with proxied(shared_endpoint, user="guest", token=token) as (proxy, fs):
        yield proxy, fs


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not come about at once never does."""
    monkeypatch.setattr(propose, "_SETTLING", 0.0)
    monkeypatch.setattr(propose, "_SETTLING_AFTER_TIMEOUT", 0.0)


def numbers(fs: pyxet.XetFS, repo: str) -> list[int]:
    return [made.number for made in fs.list_pull_requests(repo, "all")]


@pytest.mark.parametrize(
    "lost", [forward_then(500), forward_then(502), forward_then(504), cut(3), cut(0.5, reset=True)],
    ids=["500", "502", "504", "cut", "reset"],
)  # fmt: skip
def test_a_lost_answer_makes_no_second_one(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, repo: str, lost: object
) -> None:
    proxy, fs = through
    # One of the same title and content that was there before is another one.
    fs.pipe(f"{repo}/main/a.txt", b"two\n", message="Better", pull_request=True)
    proxy.rule(COMMIT, lost, times=1)  # type: ignore[arg-type]
    with fs.transaction(message="Better", pull_request=True) as tr:
        fs.pipe(f"{repo}/main/a.txt", b"two\n")
    assert numbers(xet, repo) == [2, 1]
    [made] = tr.pull_requests
    assert (made.number, made.title, made.author, made.status) == (2, "Better", "guest", "open")
    assert tr.commits[0].id == xet.log(made.path, limit=1)[0].id


def test_one_that_was_never_made_is_sent_again(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, repo: str, impatient: None
) -> None:
    proxy, fs = through
    proxy.rule(COMMIT, no_answer(), times=1)
    proxy.rule(COMMIT, answer(500), times=1)
    fs.pipe(f"{repo}/main/a.txt", b"two\n", pull_request=True)
    assert numbers(xet, repo) == [1]
    assert proxy.count(COMMIT) == 3


def test_nothing_is_sent_again_while_the_endpoint_may_be_at_it(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, repo: str, impatient: None
) -> None:
    """A second request would not stop the first one."""
    proxy, fs = through
    proxy.rule(COMMIT, answer(504), times=1)
    with pytest.raises(ServerError):
        fs.pipe(f"{repo}/main/a.txt", b"two\n", pull_request=True)
    assert proxy.count(COMMIT) == 1
    assert numbers(xet, repo) == []


def test_failures_end(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, repo: str, impatient: None
) -> None:  # fmt: skip
    proxy, fs = through
    proxy.rule(COMMIT, answer(500))
    with pytest.raises(ServerError):
        fs.pipe(f"{repo}/main/a.txt", b"two\n", pull_request=True)
    assert proxy.count(COMMIT) == FAST.attempts
    assert numbers(xet, repo) == []


def test_others_with_the_same_title_are_not_taken_for_ours(
    through: tuple[FaultProxy, pyxet.XetFS],
    shared_endpoint: LocalEndpoint,
    xet: pyxet.XetFS,
    repo: str,
    impatient: None,
) -> None:
    """Neither another user's, nor one with other content."""
    proxy, fs = through
    header = json.dumps({"key": "header", "value": {"summary": "Better"}})

    async def others_first(proxy: FaultProxy, request: object) -> object:
        for token, text in ((shared_endpoint.token, "two\n"), (shared_endpoint.add_token("guest"), "three\n")):
            body = f"{header}\n{json.dumps(dict(zip(('key', 'value'), regular('a.txt', text), strict=True)))}"
            client = RawClient(shared_endpoint, token)
            assert client.post(f"/api/models/{repo}/commit/main?create_pr=1", body).status == 200
        return await answer(500)(proxy, request)  # type: ignore[arg-type]

    proxy.rule(COMMIT, others_first, times=1)  # type: ignore[arg-type]
    with fs.transaction(message="Better", pull_request=True) as tr:
        fs.pipe(f"{repo}/main/a.txt", b"two\n")
    assert [made.number for made in tr.pull_requests] == [3]


def test_a_list_that_cannot_be_read_leaves_the_failure_as_it_is(
    through: tuple[FaultProxy, pyxet.XetFS], repo: str, impatient: None
) -> None:  # fmt: skip
    proxy, fs = through
    proxy.rule(COMMIT, answer(504), times=1)
    proxy.rule(LIST, answer(500), skip=1)
    with pytest.raises(ServerError, match="opening a pull request"):
        fs.pipe(f"{repo}/main/a.txt", b"two\n", pull_request=True)


def test_an_endpoint_without_pull_requests(through: tuple[FaultProxy, pyxet.XetFS], repo: str) -> None:
    """It commits to the branch, and that is said."""
    proxy, fs = through

    def without(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "pullRequestUrl": None}).encode()

    proxy.rule(COMMIT, changed(without))
    with pytest.raises(NotSupportedError, match="no pull requests"):
        fs.pipe(f"{repo}/main/a.txt", b"two\n", pull_request=True)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"discussions":[{"num":1,"title":"t","status":"strange","createdAt":"2026-01-01T00:00:00Z","isPullRequest":true}],"count":1}',
        b'{"discussions":[{"num":1,"title":"t","status":"open","createdAt":"never","isPullRequest":true}],"count":1}',
        b'{"discussions":[{"num":-1,"title":"t","status":"open","createdAt":"","isPullRequest":true}],"count":1}',
    ],
)
def test_answers_that_make_no_sense(through: tuple[FaultProxy, pyxet.XetFS], repo: str, body: bytes) -> None:
    proxy, fs = through
    proxy.rule(LIST, answer(200, body))
    with pytest.raises(FormatError):
        fs.list_pull_requests(repo)


def test_pages_that_do_not_end(through: tuple[FaultProxy, pyxet.XetFS], repo: str) -> None:
    """They are followed as long as somebody wants more of them, and an empty one is the last."""
    proxy, fs = through
    one = {"num": 1, "title": "t", "status": "open", "createdAt": "2026-01-01T00:00:00Z", "isPullRequest": True}
    proxy.rule(LIST, answer(200, json.dumps({"discussions": [one] * 50, "count": 10**9}).encode()), times=3)
    proxy.rule(LIST, answer(200, b'{"discussions":[],"count":1000000000}'))
    assert len(fs.list_pull_requests(repo, limit=120)) == 120
    proxy.clear()
    proxy.rule(LIST, answer(200, b'{"discussions":[],"count":1000000000}'))
    assert fs.list_pull_requests(repo) == []


@pytest.mark.parametrize("completes", [True, False])
def test_one_that_the_endpoint_completes_later(completes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the Hub does it: the request is ended, and the pull request comes about afterwards, or does not."""
    slow = HubBehaviour(commit_timeout=0.05, commit_seconds_per_file=0.1, late_commits=completes)
    if not completes:
        monkeypatch.setattr(propose, "_SETTLING_AFTER_TIMEOUT", 0.5)
    with local_endpoint(user="acme", like_hub=slow) as endpoint:
        client = RawClient(endpoint, endpoint.token)
        client.make_repo("acme/slow")
        fs = pyxet.XetFS(endpoint.url, "guest", endpoint.add_token("guest"), retry=FAST)
        files = {f"acme/slow/main/{number}.txt": b"x" for number in range(3)}
        if completes:
            with fs.transaction(message="Late", pull_request=True) as tr:
                fs.pipe(files)
            assert [made.number for made in tr.pull_requests] == numbers(fs, "acme/slow") == [1]
            assert len(fs.find("acme/slow/pr%2F1")) == 3
        else:
            with pytest.raises(ServerError):
                fs.pipe(files, pull_request=True)
            assert numbers(fs, "acme/slow") == []
