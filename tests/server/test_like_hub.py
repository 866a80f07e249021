"""An endpoint that behaves like the Hub: quotas, commits an hour, slow commits, limits, lifetimes, latency."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from support.raw_client import Answer, RawClient, regular

from pyxet.errors import ConfigError
from pyxet.server.late_commits import LATE_COMMITS
from pyxet.server.quotas import QUOTAS
from pyxet.testing import HubBehaviour, LocalEndpoint, local_endpoint

REPO = "test/quotas"
API = f"/api/models/{REPO}"


def client_of(endpoint: LocalEndpoint) -> RawClient:
    client = RawClient(endpoint, endpoint.token)
    client.make_repo(REPO)
    return client


def rate(answer: Answer) -> tuple[str, int, int]:
    """Class, requests left and seconds until the next window, as an answer tells them."""
    found = re.fullmatch(r'"(\w+)";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert found is not None, answer.headers["ratelimit"]
    return found[1], int(found[2]), int(found[3])


def until(true: Callable[[], bool]) -> None:
    """Wait for what must happen, at most half a minute."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_every_answer_tells_what_is_left_of_its_class() -> None:
    with local_endpoint(like_hub=HubBehaviour(api=5, resolvers=2, pages=1, window=600)) as endpoint:
        client = client_of(endpoint)
        kind, left, seconds = rate(client.get("/api/whoami-v2"))
        assert (kind, left) == ("api", 4)
        assert 500 < seconds <= 600
        assert rate(client.get(f"{API}/tree/nowhere"))[:2] == ("api", 3), "errors too"
        assert rate(client.get("/api/no-such-route"))[:2] == ("api", 2)
        assert rate(client.get(f"/{REPO}/resolve/main/x"))[:2] == ("resolvers", 1)
        assert rate(client.get("/somewhere"))[:2] == ("pages", 0)
        answer = client.get(f"/{REPO}/resolve/main/x")
        assert answer.headers["ratelimit-policy"] == '"fixed window";"resolvers";q=2;w=600'


def test_a_request_too_many_is_told_when_the_next_window_begins() -> None:
    with local_endpoint(like_hub=HubBehaviour(api=2, window=600)) as endpoint:
        client = client_of(endpoint)
        assert [client.get("/api/whoami-v2").status for _ in range(4)] == [200, 200, 429, 429]
        answer = client.get("/api/whoami-v2")
        assert rate(answer)[:2] == ("api", 0)
        assert 0 < rate(answer)[2] <= 600
        assert "retry-after" not in answer.headers
        assert "more than 2 requests" in answer.json["error"]
        assert client.get(f"/{REPO}/resolve/main/x").status == 404, "other classes have quotas of their own"
        quotas = endpoint.start().app[QUOTAS]
        assert (quotas.counted["api"], quotas.refused["api"], quotas.used_up["api"]) == (5, 3, 1)


def test_a_window_ends() -> None:
    with local_endpoint(like_hub=HubBehaviour(api=1, window=0.2)) as endpoint:
        client = client_of(endpoint)
        client.get("/api/whoami-v2")
        until(lambda: client.get("/api/whoami-v2").status == 200)


def test_users_and_addresses_are_counted_apart() -> None:
    with local_endpoint(like_hub=HubBehaviour(api=3, anonymous_api=1, window=600)) as endpoint:
        other = RawClient(endpoint, endpoint.add_token("other"))
        main = client_of(endpoint)
        assert [main.get("/api/whoami-v2").status for _ in range(4)] == [200, 200, 200, 429]
        assert rate(other.get("/api/whoami-v2"))[:2] == ("api", 2)
        # Tokens that nobody has count with those who have none.
        assert rate(RawClient(endpoint, "wrong").get("/api/whoami-v2"))[:2] == ("api", 0)
        assert RawClient(endpoint).get(f"{API}/refs").status == 429


def test_content_is_not_counted() -> None:
    with local_endpoint(like_hub=HubBehaviour(api=1000, window=600)) as endpoint:
        answer = client_of(endpoint).get(f"/v1/chunks/default/{'ab' * 32}")
        assert answer.status == 401
        assert "ratelimit" not in answer.headers


def test_no_quota_and_no_behaviour() -> None:
    with local_endpoint(like_hub=HubBehaviour(api=None)) as endpoint:
        assert "ratelimit" not in client_of(endpoint).get("/api/whoami-v2").headers
    with local_endpoint() as endpoint:
        assert "ratelimit" not in client_of(endpoint).get("/api/whoami-v2").headers


def test_the_published_figures() -> None:
    with local_endpoint(like_hub=True) as endpoint:
        answer = client_of(endpoint).get("/api/whoami-v2")
        assert rate(answer) == ("api", 999, 300)
        assert answer.headers["ratelimit-policy"] == '"fixed window";"api";q=1000;w=300'
        assert answer.headers["x-repo-limits"] == "folder-entries=10000, file-size=500000000000, commit-files=100"


def test_commits_of_an_hour() -> None:
    with local_endpoint(like_hub=HubBehaviour(commits=2, commits_window=600)) as endpoint:
        client = client_of(endpoint)
        answers = [client.commit(REPO, regular(f"{number}.txt", b"x")) for number in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        # It is no quota of requests, so these headers say nothing of it.
        assert rate(answers[2])[1] > 900
        assert "2 commits" in answers[2].json["error"]
        other = RawClient(endpoint, endpoint.add_token("other"))
        assert other.commit(REPO, regular("y.txt", b"y")).status == 403


@pytest.mark.parametrize("completes", [True, False])
def test_a_commit_that_takes_too_long(completes: bool) -> None:
    slow = HubBehaviour(commit_timeout=0.05, commit_seconds_per_file=0.2, late_commits=completes)
    with local_endpoint(like_hub=slow) as endpoint:
        client = client_of(endpoint)
        answer = client.commit(REPO, regular("a.txt", b"a"), regular("b.txt", b"b"))
        assert answer.status == 504
        assert "0.05 s" in answer.json["error"]
        if completes:
            until(lambda: len(client.get(f"{API}/commits/main").json) == 2)
            assert client.get(f"/{REPO}/resolve/main/b.txt").body == b"b"
    if not completes:
        # The end of the endpoint gives up what is late, too, so a look at the directory would prove less.
        with local_endpoint(like_hub=replace(slow, commit_timeout=0.0)) as endpoint:
            client = client_of(endpoint)
            assert client.commit(REPO, regular("a.txt", b"a")).status == 504
            app = endpoint.start().app
            until(lambda: not app[LATE_COMMITS]._late)
            assert len(client.get(f"{API}/commits/main").json) == 1


def test_a_late_commit_whose_parent_is_old_is_refused() -> None:
    slow = HubBehaviour(commit_timeout=0.0, commit_seconds_per_file=0.3)
    with local_endpoint(like_hub=slow) as endpoint:
        client = client_of(endpoint)
        head = client.get(f"{API}/commits/main").json[0]["id"]
        # The first takes longer, and has lost its parent when it is due.
        first = client.commit(REPO, regular("a.txt", b"1"), regular("b.txt", b"1"), parentCommit=head)
        second = client.commit(REPO, regular("a.txt", b"2"), parentCommit=head)
        assert (first.status, second.status) == (504, 504)
        until(lambda: not endpoint.start().app[LATE_COMMITS]._late)
        assert len(client.get(f"{API}/commits/main").json) == 2
        assert client.get(f"/{REPO}/resolve/main/a.txt").body == b"2"


def test_a_commit_in_time_is_answered_as_ever() -> None:
    with local_endpoint(like_hub=HubBehaviour(commit_seconds_per_file=0.001)) as endpoint:
        client = client_of(endpoint)
        assert client.commit(REPO, regular("a.txt", b"a")).status == 200
        assert client.commit(REPO, ("deletedFile", {"path": "nowhere"})).code == "EntryNotFound"


def test_entries_of_a_folder() -> None:
    with local_endpoint(like_hub=HubBehaviour(folder_entries=3)) as endpoint:
        client = client_of(endpoint)
        assert client.commit(REPO, *(regular(f"d/{number}", b"x") for number in range(3))).status == 200
        answer = client.commit(REPO, regular("d/3", b"x"))
        assert answer.status == 400
        assert "the folder d/ would have 4 entries" in answer.json["error"]
        assert client.commit(REPO, regular("d/3", b"x"), ("deletedFile", {"path": "d/0"})).status == 200
        assert client.commit(REPO, regular("d/1", b"new")).status == 200, "what stays within the limit"
        assert client.commit(REPO, *(regular(f"{number}/x", b"x") for number in range(3))).status == 400, "at the top"


def test_the_size_of_a_file() -> None:
    with local_endpoint(like_hub=HubBehaviour(file_size=1000)) as endpoint:
        client = client_of(endpoint)
        asked = {"files": [{"path": "large.bin", "sample": "", "size": 1001}]}
        answer = client.post(f"{API}/preupload/main", asked)
        assert answer.status == 413
        assert "large.bin has 1,001 bytes" in answer.json["error"]
        stored = client.upload(REPO, b"x" * 1001)
        assert client.commit(REPO, stored.line("large.bin")).status == 413


def test_lifetimes_and_latency() -> None:
    with local_endpoint(like_hub=HubBehaviour(token_life=400, url_life=30, latency=0.01)) as endpoint:
        client = client_of(endpoint)
        token = client.get(f"{API}/xet-read-token/main").json
        assert time.time() + 300 < token["exp"] <= time.time() + 400


@pytest.mark.parametrize("wrong", [{"api": -1}, {"window": 0}, {"latency": float("nan")}, {"file_size": "1 GB"}])
def test_values_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        HubBehaviour(**wrong)


def test_settings_of_the_command() -> None:
    parsed = HubBehaviour.parse(["api=2_000", "commit-timeout=1.5", "pages=none", "late_commits=false"])
    assert parsed == HubBehaviour(api=2000, commit_timeout=1.5, pages=None, late_commits=False)
    assert HubBehaviour.parse([]) == HubBehaviour()
    for wrong, expected in (
        ("api", "expected a number, or none"),
        ("late-commits=maybe", "true or false"),
        ("apis=3", "names api"),
        ("window=none", "expected a number"),
        ("window=0", "window=0"),
    ):
        with pytest.raises(ConfigError, match=expected):
            HubBehaviour.parse([wrong])
    # Each can be set.
    for field in fields(HubBehaviour):
        text = "false" if field.name == "late_commits" else "7"
        assert float(getattr(HubBehaviour.parse([f"{field.name}={text}"]), field.name)) in (7.0, 0.0)
