"""Discussions and pull requests of the local endpoint: by hand, over restarts and crashes, and by ``huggingface_hub``."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from support.gits import bare
from support.hf_client import run_hf
from support.proposals import act, begun, content, details, head, lines, log, propose
from support.raw_client import Content, RawClient, regular

from pyxet.server.discussions import Discussions
from pyxet.testing import LocalEndpoint, local_endpoint


@pytest.fixture
def repo(owner: RawClient) -> str:
    """One with two files and no pull request."""
    return begun(owner)


# -- proposing ---------------------------------------------------------------------------------------------------------


def test_who_may_not_write_proposes(endpoint: LocalEndpoint, owner: RawClient, guest: RawClient, repo: str) -> None:
    before = head(owner, repo)
    answer = propose(guest, repo, regular("a.txt", "better"), description="Because.")
    assert answer.status == 200, answer
    assert answer.json["pullRequestUrl"] == f"{endpoint.url}/{repo}/discussions/1"
    # Nothing of it is on main; all of it is on the pull request.
    assert head(owner, repo) == before
    assert content(owner, repo, "a.txt") == "1\n2\n3\n4\n5\n"
    assert content(owner, repo, "a.txt", "refs/pr/1") == "better"
    assert head(owner, repo, "refs/pr/1") == answer.json["commitOid"]
    found = details(owner, repo, 1)
    assert (found["title"], found["status"], found["author"]["name"]) == ("Propose", "open", "guest")
    assert found["changes"]["base"] == "refs/heads/main"
    assert found["filesWithConflicts"] == []
    assert "-1\n" in found["diff"]
    assert "+better" in found["diff"]
    assert [event["type"] for event in found["events"]] == ["comment", "commit"]
    assert found["events"][0]["data"]["latest"]["raw"] == "Because."
    # It goes on there, and nowhere else.
    answer = guest.post(f"/api/models/{repo}/commit/refs%2Fpr%2F1", lines(regular("a.txt", "best")))
    assert answer.status == 200
    assert content(owner, repo, "a.txt", "refs/pr/1") == "best"
    assert guest.commit(repo, regular("a.txt", "x")).status == 403


def test_large_files_are_proposed_too(owner: RawClient, guest: RawClient, repo: str) -> None:
    """With the token for a revision that is called ``None``, as `huggingface_hub` asks for it."""
    made = Content.of(bytes(range(256)) * 1000)
    for revision in ("None", "main"):
        path = f"/api/models/{repo}/xet-write-token/{revision}"
        assert guest.get(path).status == 403
        token = guest.get(f"{path}?create_pr=1")
        assert token.status == 200
    cas = RawClient(guest.endpoint, token.json["accessToken"])
    assert cas.post(f"/v1/xorbs/default/{made.xorb_name}", made.xorb_bytes).status == 200
    assert cas.post("/v1/shards", made.shard()).status == 200
    asked = {"files": [{"path": "big.bin", "size": len(made.data), "sample": "AAE="}]}
    assert guest.post(f"/api/models/{repo}/preupload/main", asked).status == 403
    assert guest.post(f"/api/models/{repo}/preupload/main?create_pr=1", asked).json["files"][0]["uploadMode"] == "lfs"
    assert propose(guest, repo, made.line("big.bin")).status == 200
    assert guest.get(f"/api/models/{repo}/xet-write-token/refs%2Fpr%2F1").status == 200
    assert guest.get(f"/{repo}/resolve/refs%2Fpr%2F1/big.bin").body == made.data
    assert act(owner, repo, 1, "merge").status == 200
    assert owner.get(f"/{repo}/resolve/main/big.bin").body == made.data


def test_pull_requests_are_no_branches(owner: RawClient, repo: str) -> None:
    propose(owner, repo, regular("new.txt", "x"))
    refs = owner.get(f"/api/models/{repo}/refs").json
    assert [ref["name"] for ref in refs["branches"]] == ["main"]
    assert refs["pullRequests"] == []
    refs = owner.get(f"/api/models/{repo}/refs?include_prs=1").json
    assert [(ref["name"], ref["ref"]) for ref in refs["pullRequests"]] == [("1", "refs/pr/1")]
    assert refs["pullRequests"][0]["targetCommit"] == head(owner, repo, "refs/pr/1")
    # Nor can one be made, or unmade, by the routes of branches.
    for name in ("refs%2Fpr%2F2", "refs%2Fheads%2Fmain"):
        assert owner.post(f"/api/models/{repo}/branch/{name}", {}).status == 400
    assert owner.call("DELETE", f"/api/models/{repo}/branch/refs%2Fpr%2F1").status == 404
    for revision in ("refs%2Fpr%2F2", "refs%2Fpr%2F0", "refs%2Fpr%2Fx", "refs%2Fpr%2F1%2F2"):
        answer = owner.post(f"/api/models/{repo}/commit/{revision}", lines(regular("a.txt", "x")))
        assert (answer.status, answer.code) == (404, "RevisionNotFound")


def test_what_a_proposal_begins_with(owner: RawClient, guest: RawClient, repo: str) -> None:
    first = head(owner, repo)
    assert owner.commit(repo, regular("later.txt", "later")).status == 200
    assert owner.post(f"/api/models/{repo}/branch/work", {"startingPoint": first}).status == 200
    # At a parent it names, on a branch it names; and only on a branch.
    assert propose(guest, repo, regular("new.txt", "x"), parentCommit=first).status == 200
    assert content(owner, repo, "later.txt", "refs/pr/1").startswith("404")
    assert propose(guest, repo, regular("new.txt", "x"), base="work").status == 200
    assert details(owner, repo, 2)["changes"]["base"] == "refs/heads/work"
    assert act(owner, repo, 2, "merge").status == 200
    assert content(owner, repo, "new.txt", "work") == "x"
    assert content(owner, repo, "new.txt").startswith("404")
    for base in (first, "nowhere", "refs%2Fpr%2F9"):
        answer = propose(guest, repo, regular("new.txt", "x"), base=base)
        assert (answer.status, answer.code) == (404, "RevisionNotFound"), base
    # What cannot be committed opens nothing, and takes no number that stays.
    for line in (("deletedFile", {"path": "nowhere"}), regular("a.txt/x", "x")):
        assert propose(guest, repo, line).status in (400, 404)
    assert propose(guest, repo, regular("new.txt", "x")).json["pullRequestUrl"].endswith("/3")


def test_titles_are_cut_and_checked(owner: RawClient, repo: str) -> None:
    assert propose(owner, repo, regular("x", "x"), summary="long " * 100).status == 200
    assert len(details(owner, repo, 1)["title"]) == 200
    for title in ("", "  ab ", "x" * 201):
        assert owner.post(f"/api/models/{repo}/discussions", {"title": title}).status == 400
        assert act(owner, repo, 1, "title", title=title).status == 400
    assert act(owner, repo, 1, "comment", comment="x" * 70_000).status == 400
    assert act(owner, repo, 1, "comment", comment=" \n").status == 400


def test_numbers_are_given_once(owner: RawClient, guest: RawClient, repo: str) -> None:
    """However many come at the same moment."""
    numbers: list[str] = []

    def work(number: int) -> None:
        numbers.append(propose(guest, repo, regular(f"{number}.txt", "x")).json["pullRequestUrl"].rpartition("/")[2])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, numbers)) == list(range(1, 9))
    found = owner.get(f"/api/models/{repo}/discussions").json
    assert [one["num"] for one in found["discussions"]] == list(range(8, 0, -1))


def test_one_that_cannot_be_recorded_leaves_no_reference(
    endpoint: LocalEndpoint, owner: RawClient, guest: RawClient, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Discussions, "write", full)
        assert propose(guest, repo, regular("a.txt", "better")).status == 507
    listed = subprocess.run(
        ["git", "-C", str(bare(endpoint, repo)), "for-each-ref", "refs/pr"], check=True, capture_output=True
    )  # fmt: skip
    assert listed.stdout == b""
    assert owner.get(f"/api/models/{repo}/discussions").json["count"] == 0
    assert propose(guest, repo, regular("a.txt", "better")).json["pullRequestUrl"].endswith("/1")


# -- talking -----------------------------------------------------------------------------------------------------------


def test_who_may_say_and_change_what(endpoint: LocalEndpoint, owner: RawClient, guest: RawClient, repo: str) -> None:
    third = RawClient(endpoint, endpoint.add_token("third"))
    reader = RawClient(endpoint, endpoint.add_token("guest", "read"))
    propose(guest, repo, regular("new.txt", "x"))
    comment = act(third, repo, 1, "comment", comment="<b>why</b>?").json["newMessage"]
    assert comment["data"]["latest"] | {"updatedAt": ""} == {
        "raw": "<b>why</b>?", "html": "&lt;b&gt;why&lt;/b&gt;?", "updatedAt": "", "author": {"name": "third"},
    }  # fmt: skip
    edit, hide = (f"comment/{comment['id']}/{verb}" for verb in ("edit", "hide"))
    for client in (owner, guest):
        assert act(client, repo, 1, edit, content="mine").status == 403
    assert act(guest, repo, 1, hide).status == 403
    edited = act(third, repo, 1, edit, content="Why?").json["updatedComment"]["data"]
    assert (edited["edited"], edited["numEdits"], edited["latest"]["raw"]) == (True, 1, "Why?")
    assert act(owner, repo, 1, hide).json["updatedComment"]["data"]["hidden"] is True
    assert "why" not in json.dumps(details(third, repo, 1)).lower()
    assert act(third, repo, 1, edit, content="again").status == 400
    assert act(third, repo, 1, "comment/00/edit", content="x").status == 404
    for verb, body in (("title", {"title": "Other"}), ("status", {"status": "closed"})):
        assert act(third, repo, 1, verb, **body).status == 403
        assert act(reader, repo, 1, verb, **body).status == 403
        assert act(guest, repo, 1, verb, **body).status == 200
    assert act(guest, repo, 1, "status", status="merged").status == 400
    assert details(owner, repo, 1)["title"] == "Other"
    # Nobody else goes on with a pull request, but the owner does.
    assert act(owner, repo, 1, "status", status="open").status == 200
    for client, status in ((third, 403), (reader, 403), (RawClient(endpoint), 401), (owner, 200)):
        path = f"/api/models/{repo}/commit/refs%2Fpr%2F1"
        assert client.post(path, lines(regular("new.txt", "other"))).status == status
        assert client.get(f"/api/models/{repo}/xet-write-token/refs%2Fpr%2F1").status == status


def test_lists_come_in_pages_and_parts(owner: RawClient, guest: RawClient, repo: str) -> None:
    for number in range(55):
        assert guest.post(f"/api/models/{repo}/discussions", {"title": f"Talk {number}"}).status == 200
    propose(owner, repo, regular("x", "x"))
    act(owner, repo, 2, "status", status="closed")

    def listed(query: str) -> list[int]:
        found: list[int] = []
        while True:
            answer = owner.get(f"/api/models/{repo}/discussions?p={len(found) // 50}&{query}").json
            assert answer["start"] == len(found)
            found += [one["num"] for one in answer["discussions"]]
            if len(found) >= answer["count"]:
                return found

    assert listed("") == list(range(56, 0, -1))
    assert listed("type=pull_request") == listed("author=acme") == [56]
    assert listed("status=closed") == [2]
    assert listed("type=discussion&status=open&author=guest") == [number for number in range(55, 0, -1) if number != 2]
    assert listed("author=nobody") == []
    for query in ("type=x", "status=draft", "p=-1"):
        assert owner.get(f"/api/models/{repo}/discussions?{query}").status == 400


# -- what stays --------------------------------------------------------------------------------------------------------


def test_they_outlive_restarts_and_renames_and_not_deletions(tmp_path: Path) -> None:
    with local_endpoint(tmp_path, user="acme", token="t0") as endpoint:
        client = RawClient(endpoint, "t0")
        client.make_repo("acme/one")
        propose(client, "acme/one", regular("new.txt", "x"))
        act(client, "acme/one", 1, "comment", comment="Hello")
        told = details(client, "acme/one", 1)
        path = bare(endpoint, "acme/one")
    # What a killed process may leave: a reference without a record, and half a record.
    git = ["git", "-C", str(path)]
    subprocess.run([*git, "update-ref", "refs/pr/2", "refs/pr/1"], check=True)
    (path / "xet-discussions" / "1.new").write_bytes(b'{"num":')
    with local_endpoint(tmp_path, user="acme", token="t0") as endpoint:
        client = RawClient(endpoint, "t0")
        assert details(client, "acme/one", 1) == told
        assert len(client.get("/api/models/acme/one/refs?include_prs=1").json["pullRequests"]) == 1
        assert propose(client, "acme/one", regular("y", "y")).json["pullRequestUrl"].endswith("/3")
        renamed = {"fromRepo": "acme/one", "toRepo": "acme/two", "type": "model"}
        assert client.post("/api/repos/move", renamed).status == 200
        found = details(client, "acme/two", 1)
        assert found["repo"] == {"name": "acme/two", "type": "model"}
        assert content(client, "acme/two", "new.txt", "refs/pr/1") == "x"
        # A duplicate has the branches alone, packed references or not.
        subprocess.run(["git", "-C", str(bare(endpoint, "acme/two")), "pack-refs", "--all"], check=True)
        assert client.post("/api/models/acme/two/duplicate", {"repository": "acme/copy"}).status == 200
        assert client.get("/api/models/acme/copy/discussions").json["count"] == 0
        assert content(client, "acme/copy", "new.txt", "refs/pr/1") == "404 RevisionNotFound"
        assert client.call("DELETE", "/api/repos/delete", {"name": "two"}).status == 200
        client.make_repo("acme/two")
        assert client.get("/api/models/acme/two/discussions").json["count"] == 0
        assert propose(client, "acme/two", regular("y", "y")).json["pullRequestUrl"].endswith("/1")


# -- huggingface_hub ---------------------------------------------------------------------------------------------------


def test_huggingface_hub_proposes_discusses_and_merges(endpoint: LocalEndpoint, owner: RawClient, repo: str) -> None:
    user = endpoint.add_token("guest")
    found = run_hf(
        endpoint,
        """
import pathlib, warnings
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
warnings.simplefilter("ignore")
repo, url = given["repo"], os.environ["HF_ENDPOINT"]
guest = HfApi(endpoint=url, token=given["guest"])
noise = os.urandom(300_000)
done = guest.create_commit(repo, operations=[CommitOperationAdd("t.txt", b"text"), CommitOperationAdd("n.bin", noise),
    CommitOperationDelete("d/b.txt")], commit_message="By a guest", commit_description="Why", create_pr=True)
answer["created"] = [done.pr_num, done.pr_revision, done.pr_url == f"{url}/{repo}/discussions/1"]
answer["there"] = [sorted(api.list_repo_files(repo, revision=done.pr_revision)), sorted(api.list_repo_files(repo))]
got = hf_hub_download(repo, "n.bin", revision="refs/pr/1", endpoint=url)
answer["downloaded"] = pathlib.Path(got).read_bytes() == noise
folder = pathlib.Path("folder"); folder.mkdir()
for number in range(3):
    (folder / f"{number}.bin").write_bytes(os.urandom(100_000)); (folder / f"{number}.txt").write_text(str(number))
up = guest.upload_folder(repo_id=repo, folder_path=folder, create_pr=True, commit_message="A folder")
answer["folder"] = [up.pr_num, api.get_discussion_details(repo, 2).status]
fs = HfFileSystem(endpoint=url, token=given["guest"])
answer["fs"] = [fs.cat(f"{repo}@refs/pr/2/1.txt").decode(), fs.cat(f"{repo}@refs%2Fpr%2F1/t.txt").decode()]
guest.change_discussion_status(repo, 2, "open", comment="Ready")
guest.rename_discussion(repo, 2, "A good folder")
comment = api.comment_discussion(repo, 2, "Nice")
answer["edited"] = api.edit_discussion_comment(repo, 2, comment.id, "Very nice").content
api.merge_pull_request(repo, 2, comment="Thanks")
details = api.get_discussion_details(repo, 2)
answer["merged"] = [details.status, details.target_branch, details.merge_commit_oid == api.repo_info(repo).sha,
    details.conflicting_files, "diff --git a/1.txt" in details.diff, [type(e).__name__ for e in details.events]]
answer["log"] = [commit.title for commit in api.list_repo_commits(repo)][:1]
answer["hidden"] = api.hide_discussion_comment(repo, 2, comment.id).hidden
api.create_discussion(repo, "Talk", description="about it")
draft = guest.create_pull_request(repo, "Draft")
answer["draft"] = [draft.status, draft.git_reference]
answer["lists"] = [[d.num for d in api.get_repo_discussions(repo, **query)] for query in (
    {}, {"discussion_type": "pull_request"}, {"discussion_status": "closed"}, {"author": "guest", "discussion_status": "open"})]
answer["refs"] = [ref.ref for ref in api.list_repo_refs(repo, include_pull_requests=True).pull_requests]
api.upload_file(path_or_fileobj=b"other", path_in_repo="t.txt", repo_id=repo)
answer["conflict"] = [failure(api.merge_pull_request, repo, 1)[1][:40], api.get_discussion_details(repo, 1).conflicting_files]
answer["refused"] = [failing(guest.merge_pull_request, repo, 1), failing(guest.create_commit, repo, operations=[], commit_message="x"),
    failing(guest.upload_file, path_or_fileobj=b"x", path_in_repo="x", repo_id=repo),
    failing(guest.upload_file, path_or_fileobj=b"x", path_in_repo="x", repo_id=repo, revision="refs/pr/2"),
    failing(guest.create_commit, repo, operations=[CommitOperationAdd("x", b"x")], commit_message="x", revision="nowhere", create_pr=True)]
api.update_repo_settings(repo, visibility="private")
answer["private"] = [failing(lambda: list(guest.get_repo_discussions(repo))), failing(guest.get_discussion_details, repo, 1),
    failing(guest.create_discussion, repo, "Talk"), failing(guest.comment_discussion, repo, 1, "x"),
    failing(guest.upload_file, path_or_fileobj=b"x", path_in_repo="x", repo_id=repo, create_pr=True)]
""",
        repo=repo,
        guest=user,
    )
    assert found["created"] == [1, "refs/pr/1", True]
    assert found["there"] == [["a.txt", "n.bin", "t.txt"], ["a.txt", "d/b.txt"]]
    assert found["downloaded"] is True
    assert found["folder"] == [2, "draft"]
    assert found["fs"] == ["1", "text"]
    assert found["edited"] == "Very nice"
    comment, status = "DiscussionComment", "DiscussionStatusChange"
    assert found["merged"] == [
        "merged", "refs/heads/main", True, [], True,
        [comment, "DiscussionCommit", comment, status, "DiscussionTitleChange", comment, comment, status],
    ]  # fmt: skip
    assert found["log"] == ["A good folder (#2)"]
    assert found["hidden"] is True
    assert found["draft"] == ["draft", "refs/pr/4"]
    assert found["lists"] == [[4, 3, 2, 1], [4, 2, 1], [2], [4, 1]]
    assert found["refs"] == ["refs/pr/4", "refs/pr/2", "refs/pr/1"]
    assert found["conflict"] == ["Client error '409 Conflict' for url 'htt", ["t.txt"]]
    assert found["refused"] == ["HfHubHTTPError", None, "HfHubHTTPError", "BadRequestError", "RevisionNotFoundError"]
    assert found["private"] == ["RepositoryNotFoundError"] * 5
    assert log(owner, repo)[1:] == ["A good folder (#2)", "a commit", "initial commit"]
