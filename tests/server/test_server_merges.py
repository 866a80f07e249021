"""Merges of the local endpoint's pull requests: one commit, conflicts, what cannot be merged, and a crash in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.proposals import act, begun, content, details, head, lines, log, propose
from support.raw_client import RawClient, regular

from pyxet.server.git_repository import Repository
from pyxet.testing import local_endpoint


@pytest.fixture
def repo(owner: RawClient) -> str:
    """One with two files and no pull request."""
    return begun(owner)


# -- merging -----------------------------------------------------------------------------------------------------------


def test_a_merge_is_one_commit(owner: RawClient, guest: RawClient, repo: str) -> None:
    propose(guest, repo, regular("a.txt", "one\n2\n3\n4\n5\n"), summary="First")
    guest.post(
        f"/api/models/{repo}/commit/refs%2Fpr%2F1", lines(("deletedFile", {"path": "d/b.txt"}), summary="Second")
    )
    # The branch goes on meanwhile, in other lines of the same file, too.
    assert owner.commit(repo, regular("a.txt", "1\n2\n3\n4\nfive\n"), regular("c.txt", "c")).status == 200
    assert act(guest, repo, 1, "merge").status == 403
    answer = act(owner, repo, 1, "merge", comment="Thanks")
    assert answer.status == 200
    assert content(owner, repo, "a.txt") == "one\n2\n3\n4\nfive\n"
    assert content(owner, repo, "d/b.txt").startswith("404")
    commit, *_ = owner.get(f"/api/models/{repo}/commits/main").json
    assert commit["id"] == answer.json["commitOid"] == head(owner, repo)
    assert commit["title"] == "First (#1)"
    assert [line.partition(" (")[0] for line in commit["message"].splitlines()] == [
        "- First", "- Second", "", "Co-authored-by: guest <guest@users.noreply.localhost>",
    ]  # fmt: skip
    assert len(commit["parents"]) == 1
    found = details(owner, repo, 1)
    assert (found["status"], found["changes"]["mergeCommitId"]) == ("merged", commit["id"])
    assert [event["type"] for event in found["events"]] == ["comment", "commit", "commit", "comment", "status-change"]
    # What is merged stays as it is, and takes nothing more.
    assert act(owner, repo, 1, "merge").status == 400
    assert act(owner, repo, 1, "status", status="open").status == 400
    for client in (owner, guest):
        answer = client.post(f"/api/models/{repo}/commit/refs%2Fpr%2F1", lines(regular("a.txt", "x")))
        assert answer.status == 400
        assert "merged" in answer.json["error"]


@pytest.mark.parametrize(
    ("theirs", "ours", "files"),
    [
        (regular("a.txt", "one\n"), regular("a.txt", "eins\n"), ["a.txt"]),
        (regular("new.txt", "one"), regular("new.txt", "two"), ["new.txt"]),
        (("deletedFile", {"path": "a.txt"}), regular("a.txt", "more\n"), ["a.txt"]),
        (regular("a.txt", "more\n"), ("deletedFile", {"path": "a.txt"}), ["a.txt"]),
    ],
)
def test_conflicts_are_told(
    owner: RawClient, guest: RawClient, repo: str,
    theirs: tuple[str, dict[str, Any]], ours: tuple[str, dict[str, Any]], files: list[str],
) -> None:  # fmt: skip
    propose(guest, repo, theirs)
    assert owner.commit(repo, ours).status == 200
    before = head(owner, repo)
    assert details(owner, repo, 1)["filesWithConflicts"] == files
    answer = act(owner, repo, 1, "merge")
    assert (answer.status, answer.json["filesWithConflicts"]) == (409, files)
    assert head(owner, repo) == before
    # On the pull request it is mended, and then merged.
    fix = ours if ours[0] == "file" else theirs
    if ours[0] == "file" and theirs[0] == "file":
        assert guest.post(f"/api/models/{repo}/commit/refs%2Fpr%2F1", lines(fix)).status == 200
        assert details(owner, repo, 1)["filesWithConflicts"] == []
        # The branch has it already, so its commit is the one that merges it.
        assert act(owner, repo, 1, "merge").json["commitOid"] == before
    assert details(owner, repo, 1)["status"] == ("merged" if theirs[0] == ours[0] == "file" else "open")


def test_large_files_conflict_as_wholes(owner: RawClient, guest: RawClient, repo: str) -> None:
    made = [owner.upload(repo, bytes([number]) * 50_000) for number in range(3)]
    assert owner.commit(repo, made[0].line("m.bin")).status == 200
    propose(guest, repo, made[1].line("m.bin"))
    assert owner.commit(repo, made[2].line("m.bin")).status == 200
    assert act(owner, repo, 1, "merge").json["filesWithConflicts"] == ["m.bin"]


def test_drafts_and_closed_ones(owner: RawClient, guest: RawClient, repo: str) -> None:
    answer = guest.post(f"/api/models/{repo}/discussions", {"title": "Draft", "description": "x", "pullRequest": True})
    assert answer.json["num"] == 1
    assert details(guest, repo, 1)["status"] == "draft"
    assert head(owner, repo, "refs/pr/1") == head(owner, repo)
    assert act(owner, repo, 1, "merge").status == 400
    assert guest.post(f"/api/models/{repo}/commit/refs%2Fpr%2F1", lines(regular("n.txt", "n"))).status == 200
    assert act(guest, repo, 1, "status", status="closed", comment="Not now").status == 200
    assert act(owner, repo, 1, "merge").status == 400
    answer = guest.post(f"/api/models/{repo}/commit/refs%2Fpr%2F1", lines(regular("n.txt", "m")))
    assert (answer.status, "closed" in answer.json["error"]) == (400, True)
    assert act(owner, repo, 1, "status", status="open").status == 200
    assert act(owner, repo, 1, "merge").status == 200
    # One that changes nothing is nothing to merge, nor is a discussion.
    assert guest.post(f"/api/models/{repo}/discussions", {"title": "Empty", "pullRequest": True}).json["num"] == 2
    assert act(guest, repo, 2, "status", status="open").status == 200
    assert act(owner, repo, 2, "merge").status == 400
    assert guest.post(f"/api/models/{repo}/discussions", {"title": "Talk"}).json["num"] == 3
    assert act(owner, repo, 3, "merge").status == 400
    answer = guest.post(f"/api/models/{repo}/commit/refs%2Fpr%2F3", lines(regular("n.txt", "m")))
    assert (answer.status, answer.code) == (404, "RevisionNotFound")
    assert act(owner, repo, 4, "merge").status == 404


def test_a_squashed_branch_takes_pull_requests(owner: RawClient, guest: RawClient, repo: str) -> None:
    propose(guest, repo, regular("new.txt", "new"))
    assert owner.post(f"/api/models/{repo}/super-squash/main", {"message": "All"}).status == 200
    assert details(owner, repo, 1)["diff"].count("diff --git") == 1
    assert act(owner, repo, 1, "merge").status == 200
    assert log(owner, repo) == ["Propose (#1)", "All"]
    assert content(owner, repo, "a.txt") == "1\n2\n3\n4\n5\n"


def test_a_branch_that_is_gone(owner: RawClient, repo: str) -> None:
    assert owner.post(f"/api/models/{repo}/branch/work", {}).status == 200
    propose(owner, repo, regular("new.txt", "x"), base="work")
    assert owner.call("DELETE", f"/api/models/{repo}/branch/work").status == 200
    assert details(owner, repo, 1)["filesWithConflicts"] == []
    answer = act(owner, repo, 1, "merge")
    assert (answer.status, answer.code) == (404, "RevisionNotFound")
    assert content(owner, repo, "new.txt", "refs/pr/1") == "x"


# -- crashes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", [False, True], ids=["before the branch moves", "after it has moved"])
def test_a_crash_in_a_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool) -> None:
    """The branch decides: where it has the commit, the pull request is merged, and otherwise it is open."""
    move = Repository.move

    def crash(self: Repository, *arguments: Any) -> None:
        if moved:
            move(self, *arguments)
        raise SystemError("power failure")

    with local_endpoint(tmp_path, user="acme", token="t0") as endpoint:
        client = RawClient(endpoint, "t0")
        client.make_repo("acme/one")
        propose(client, "acme/one", regular("new.txt", "x"))
        with monkeypatch.context() as patched:
            patched.setattr(Repository, "move", crash)
            assert act(client, "acme/one", 1, "merge").status == 500
    with local_endpoint(tmp_path, user="acme", token="t0") as endpoint:
        client = RawClient(endpoint, "t0")
        found = details(client, "acme/one", 1)
        assert found["status"] == ("merged" if moved else "open")
        if not moved:
            assert act(client, "acme/one", 1, "merge").status == 200
        found = details(client, "acme/one", 1)
        assert (found["status"], found["changes"]["mergeCommitId"]) == ("merged", head(client, "acme/one"))
        assert log(client, "acme/one") == ["Propose (#1)", "initial commit"]
