"""Pull requests by single HTTP requests: proposing, acting on them, and checking the results."""

from __future__ import annotations

import json
from typing import Any

from support.raw_client import Answer, RawClient, regular

_names = iter(range(10_000))


def begun(owner: RawClient) -> str:
    """Make a repository of ``acme`` with two files; return its name."""
    name = f"acme/r{next(_names)}"
    owner.make_repo(name)
    assert owner.commit(name, regular("a.txt", "1\n2\n3\n4\n5\n"), regular("d/b.txt", "b")).status == 200
    return name


def lines(*changes: tuple[str, dict[str, Any]], summary: str = "Propose", **header: str) -> str:
    """The body of a commit request."""
    first = ("header", {"summary": summary, **header})
    return "\n".join(json.dumps({"key": key, "value": value}) for key, value in (first, *changes))


def propose(
    client: RawClient, repo: str, *changes: tuple[str, dict[str, Any]], base: str = "main", **header: str
) -> Answer:
    """Open a pull request with a commit."""
    return client.post(f"/api/models/{repo}/commit/{base}?create_pr=1", lines(*changes, **header))


def details(client: RawClient, repo: str, number: int) -> Any:
    """The endpoint's details of a pull request or discussion."""
    answer = client.get(f"/api/models/{repo}/discussions/{number}?diff=1")
    assert answer.status == 200, answer
    return answer.json


def act(client: RawClient, repo: str, number: int, what: str, **body: str) -> Answer:
    """Comment on a pull request, merge it, or change its title or status."""
    return client.post(f"/api/models/{repo}/discussions/{number}/{what}", dict(body))


def head(client: RawClient, repo: str, revision: str = "main") -> str:
    """The commit of a revision."""
    found: str = client.get(f"/api/models/{repo}/revision/{revision.replace('/', '%2F')}").json["sha"]
    return found


def content(client: RawClient, repo: str, path: str, revision: str = "main") -> str:
    """The text of a file, or the status and error code of the answer."""
    answer = client.get(f"/{repo}/resolve/{revision.replace('/', '%2F')}/{path}")
    return answer.body.decode() if answer.status == 200 else f"{answer.status} {answer.code}"


def log(client: RawClient, repo: str) -> list[str]:
    """Titles of the commits of the main branch, newest first."""
    return [commit["title"] for commit in client.get(f"/api/models/{repo}/commits/main").json]
