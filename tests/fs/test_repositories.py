"""Repositories, branches, tags, history and accounts: the methods of the first pyxet."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest
from support.faults import FaultProxy, answer

import pyxet
from pyxet import (
    AlreadyExistsError,
    AuthenticationError,
    Commit,
    NotFoundError,
    NotSupportedError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    ServerError,
    XetURLError,
)
from pyxet.testing import LocalEndpoint

CONTENT = random.Random(__name__).randbytes(500_000)


# -- repositories ------------------------------------------------------------------------------------------------------


def test_the_life_of_a_repository(xet: pyxet.XetFS, repo: str) -> None:
    name = f"{repo}-2"
    assert not xet.is_repo(name)
    with pytest.raises(RepositoryNotFoundError):
        xet.repo_info(name)
    xet.make_repo(f"xet://{name}", private=True)
    assert xet.is_repo(name)
    assert xet.ls(f"{name}/main", detail=False) == [f"{name}/main/.gitattributes"]
    with pytest.raises(AlreadyExistsError):
        xet.make_repo(name)
    with pytest.raises(FileExistsError):
        xet.make_repo(name)
    xet.make_repo(name, exist_ok=True)
    info = xet.repo_info(name)
    assert (info["name"], info["type"], info["kind"], info["private"]) == (name, "directory", "repo", True)
    assert info["commit"] == xet.branch_info(name, "main")["commit"]
    assert abs(datetime.now(UTC) - info["created"]) < timedelta(minutes=5)
    assert xet.created(name) == info["created"]
    assert xet.repo_info(repo)["private"] is False
    assert name in xet.list_repos()
    assert name in xet.list_repos("acme")
    assert name in [found["name"] for found in xet.list_repos("acme", detail=True)]
    xet.delete_repo(name)
    assert not xet.is_repo(name)
    assert name not in xet.list_repos("acme")
    with pytest.raises(RepositoryNotFoundError):
        xet.delete_repo(name)


def test_only_a_repository_is_one(xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.pipe_file(f"{main}/x", b"x")
    assert [xet.is_repo(path) for path in ("", "acme", repo, main, f"{main}/x")] == [False, False, True, False, False]
    assert [xet.isdir_or_branch(path) for path in (repo, main, f"{main}/x", f"{main}/y")] == [True, True, False, False]
    for call in (xet.make_repo, xet.delete_repo, xet.repo_info, xet.list_branches, xet.list_tags):
        for path in ("acme", main, ""):
            with pytest.raises(XetURLError, match="expected owner/repo"):
                call(path)
    for path in (repo, main, ""):
        with pytest.raises(XetURLError, match="owner"):
            xet.list_repos(path)
    assert xet.find(main) == [f"{main}/x"]


# -- branches and tags -------------------------------------------------------------------------------------------------


def test_the_life_of_a_branch(xet: pyxet.XetFS, repo: str, main: str) -> None:
    assert xet.list_branches(repo) == ["main"]
    xet.pipe_file(f"{main}/x", b"1")
    xet.make_branch(repo, "main", "new")
    assert xet.branch_exists(repo, "new")
    assert not xet.branch_exists(repo, "newer")
    assert xet.cat(f"{repo}/new/x") == b"1"
    with pytest.raises(AlreadyExistsError):
        xet.make_branch(repo, "main", "new")
    with pytest.raises(RevisionNotFoundError):
        xet.make_branch(repo, "nowhere", "other")
    xet.pipe_file(f"{repo}/new/x", b"2")
    assert xet.cat([f"{main}/x", f"{repo}/new/x"]) == {f"{main}/x": b"1", f"{repo}/new/x": b"2"}
    info = xet.branch_info(repo, "new")
    assert (info["name"], info["branch"], info["kind"]) == (f"{repo}/new", "new", "branch")
    assert info["commit"] == xet.log(f"{repo}/new")[0].id == xet.info(f"{repo}/new")["commit"]
    assert [found["branch"] for found in xet.list_branches(repo, detail=True)] == ["main", "new"]
    xet.delete_branch(repo, "new")
    assert xet.list_branches(repo) == ["main"]
    with pytest.raises(RevisionNotFoundError, match="no branch 'new'"):
        xet.branch_info(repo, "new")
    with pytest.raises(NotFoundError):
        xet.delete_branch(repo, "new")
    for call in (xet.list_branches, xet.list_tags, lambda name: xet.branch_exists(name, "main")):
        with pytest.raises(RepositoryNotFoundError):
            call(f"{repo}-nope")


def test_branches_and_tags_begin_at_every_kind_of_revision(xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.pipe_file(f"{main}/x", b"1")
    first = xet.info(main)["commit"]
    xet.make_tag(repo, "v1", message="the first one")
    xet.pipe_file(f"{main}/x", b"2")
    for number, (source, content) in enumerate(
        {"v1": b"1", first: b"1", first[:8]: b"1", "main": b"2", "main@{now}": b"2"}.items()
    ):
        xet.make_branch(repo, source, f"b{number}")
        xet.make_tag(repo, f"t{number}", source)
        assert xet.cat(f"{repo}/b{number}/x") == xet.cat(f"{repo}/t{number}/x") == content
    for call in (xet.make_branch, lambda repo, source, name: xet.make_tag(repo, name, source)):
        with pytest.raises(RevisionNotFoundError):
            call(repo, "main@{2001-01-01}", "old")


def test_the_life_of_a_tag(xet: pyxet.XetFS, repo: str, main: str) -> None:
    assert xet.list_tags(repo) == []
    xet.pipe_file(f"{main}/x", b"1")
    xet.make_tag(repo, "v1")
    assert xet.list_tags(repo) == ["v1"]
    (info,) = xet.list_tags(repo, detail=True)
    assert (info["name"], info["tag"], info["kind"]) == (f"{repo}/v1", "v1", "tag")
    assert info["commit"] == xet.info(main)["commit"] == xet.info(f"{repo}/v1")["commit"]
    with pytest.raises(AlreadyExistsError):
        xet.make_tag(repo, "v1")
    with pytest.raises(NotSupportedError, match="write to a branch"):
        xet.pipe_file(f"{repo}/v1/x", b"2")
    # Tags are no branches.
    assert xet.ls(repo, detail=False) == [main]
    assert not xet.branch_exists(repo, "v1")
    xet.delete_tag(repo, "v1")
    assert xet.list_tags(repo) == []
    with pytest.raises(NotFoundError):
        xet.delete_tag(repo, "v1")


def test_writing_to_a_missing_branch_tells_how_to_make_it(xet: pyxet.XetFS, repo: str) -> None:
    with pytest.raises(RevisionNotFoundError, match=r"make_branch"):
        xet.pipe_file(f"{repo}/nope/x", b"")
    for revision in ("main@{now}", xet.branch_info(repo, "main")["commit"]):
        with pytest.raises(NotSupportedError):
            xet.pipe_file(f"{repo}/{revision}/x", b"")


# -- history -----------------------------------------------------------------------------------------------------------


def test_log(xet: pyxet.XetFS, repo: str, main: str) -> None:
    for number in range(3):
        xet.pipe_file(
            f"{main}/{'x' if number != 1 else 'd/y'}", str(number).encode(), message=f"number {number}\n\nmore"
        )
    xet.rm(f"{main}/x", message="gone")
    commits = xet.log(main)
    assert all(type(commit) is Commit for commit in commits)
    assert [commit.title for commit in commits[:4]] == ["gone", "number 2", "number 1", "number 0"]
    assert commits[1].message == "number 2\n\nmore"
    assert {commit.author for commit in commits} == {"acme"}
    assert [commit.date for commit in commits] == sorted((commit.date for commit in commits), reverse=True)
    for newer, older in itertools.pairwise(commits):
        assert newer.parents in (None, (older.id,))
    assert xet.log(repo) == commits
    assert xet.log(main, limit=2) == commits[:2]
    assert xet.log(main, limit=0) == []
    assert xet.log(f"{repo}/{commits[2].id}") == commits[2:]
    assert [commit.title for commit in xet.log(f"{main}/x")] == ["gone", "number 2", "number 0"]
    assert [commit.title for commit in xet.log(f"{main}/d")] == ["number 1"]
    assert xet.log(f"{main}/x", limit=1) == commits[:1]
    assert xet.log(f"{main}/nope") == []
    assert xet.modified(f"{main}/d/y") == commits[2].date == xet.created(f"{main}/d/y")
    assert xet.modified(main) == xet.modified(repo) == commits[0].date
    assert xet.created(main) == commits[-1].date
    for missing in (f"{repo}/nope", f"{repo}-nope/main"):
        for call in (xet.log, xet.modified, xet.created):
            with pytest.raises(NotFoundError):
                call(missing)
    for call in (xet.modified, xet.created):
        with pytest.raises(NotFoundError):
            call(f"{main}/nope")
    for above in ("", "acme"):
        with pytest.raises(XetURLError, match="owner/repo"):
            xet.log(above)


def test_one_commit_of_a_path_is_not_looked_for_in_all_of_the_history(
    through: tuple[FaultProxy, pyxet.XetFS], main: str
) -> None:  # fmt: skip
    proxy, fs = through
    for number in range(12):
        fs.pipe_file(f"{main}/{number}", b"x")
    fs.pipe_file(f"{main}/11", b"y")
    fs.invalidate_cache()
    proxy.clear()
    assert len(fs.log(f"{main}/11", limit=1)) == 1
    # The branch, a page of its log, and the path in two commits.
    assert len(proxy.seen) == 4


# -- copies move no data -----------------------------------------------------------------------------------------------


def test_copies_inside_a_repository_move_no_data(through: tuple[FaultProxy, pyxet.XetFS], repo: str, main: str) -> None:
    proxy, fs = through
    fs.pipe({f"{main}/d/x": CONTENT, f"{main}/d/small": b"small"})
    commit = fs.info(main)["commit"]
    fs.make_branch(repo, "main", "b")
    proxy.clear()
    fs.cp(f"{main}/d/x", f"{main}/y")
    fs.cp(f"{main}/d/x", f"{repo}/b/z")
    fs.cp_file(f"{repo}/{commit}/d/x", f"{main}/w")
    fs.cp(f"{repo}/{commit}/d", f"{main}/e", recursive=True)
    fs.mv(f"{main}/y", f"{main}/v")
    for path in (f"{main}/v", f"{repo}/b/z", f"{main}/w", f"{main}/e/x"):
        assert fs.info(path)["xet_hash"] == fs.info(f"{main}/d/x")["xet_hash"]
    moved = [seen.line for seen in proxy.seen if "/v1/" in seen.line or "/v2/" in seen.line]
    assert moved == []
    assert fs.cat(f"{main}/e/small") == b"small"


# -- account -----------------------------------------------------------------------------------------------------------


def test_get_username(xet: pyxet.XetFS, shared_endpoint: LocalEndpoint) -> None:
    assert xet.get_username() == "acme"
    for token in ("", "wrong"):
        with pytest.raises(AuthenticationError):
            pyxet.XetFS(shared_endpoint.url, token=token).get_username()


def test_errors_are_no_absence_here_either(through: tuple[FaultProxy, pyxet.XetFS], repo: str) -> None:
    proxy, fs = through
    proxy.rule(r"\w+ /api/", answer(500))
    for call in (fs.is_repo, fs.list_branches, fs.list_tags, fs.repo_info, fs.log, fs.make_repo, fs.delete_repo):
        with pytest.raises(ServerError):
            call(repo)
    with pytest.raises(ServerError):
        fs.branch_exists(repo, "main")
