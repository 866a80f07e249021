"""What users of the first pyxet wrote: its names and arguments work, and its old URLs say what to write now."""

from __future__ import annotations

from typing import Any

import pytest

import pyxet
from pyxet import NotFoundError, RevisionNotFoundError, XetFS, XetURL, XetURLError
from pyxet.testing import LocalEndpoint


def test_branches_by_their_url(xet: XetFS, repo: str, shared_endpoint: LocalEndpoint) -> None:
    xet.make_branch(repo, "main", "work/one")
    host = shared_endpoint.url.partition("://")[2]
    for path in (f"{repo}/main", f"xet://{repo}/main", f"xet://{host}:{repo}/main/"):
        assert xet.branch_info(path) == xet.branch_info(repo, "main")
        assert xet.branch_exists(path)
    assert xet.branch_info(f"{repo}/work%2Fone")["branch"] == "work/one"
    assert not xet.branch_exists(f"{repo}/nope")
    assert not xet.branch_exists(f"{repo}-nope/main")
    with pytest.raises(RevisionNotFoundError, match="no branch 'nope'"):
        xet.branch_info(f"{repo}/nope")
    for wrong in (repo, f"{repo}/main/a.txt", "acme"):
        for call in (xet.branch_info, xet.branch_exists):
            with pytest.raises(XetURLError, match="owner/repo/branch"):
                call(wrong)


def test_references_without_their_beginning(xet: XetFS, repo: str) -> None:
    xet.make_tag(repo, "v1", "main")
    assert xet.find_ref(repo, "heads/main") == xet.find_ref(repo, "main")
    assert xet.find_ref(repo, "tags/v1") == xet.find_ref(repo, "v1")
    with pytest.raises(RevisionNotFoundError):
        xet.find_ref(repo, "heads/v1")
    xet.pipe_file(f"{repo}/main/a", b"a")
    xet.make_branch(repo, "v1", "heads/main")
    assert xet.find_ref(repo, "heads/main")["ref"] == "refs/heads/heads/main"
    assert xet.find_ref(repo, "refs/heads/main")["commit"] == xet.find_ref(repo, "main")["commit"]


def test_a_transaction_with_its_message(xet: Any, main: str) -> None:
    xet.start_transaction(commit_message="in words")
    xet.pipe_file(f"{main}/a", b"a")
    xet.end_transaction()
    xet.start_transaction("other words")
    xet.set_commit_message("better words")
    xet.pipe_file(f"{main}/b", b"b")
    xet.end_transaction()
    assert [commit.message for commit in xet.log(main, limit=2)] == ["better words", "in words"]
    with pytest.raises(TypeError, match="two names"):
        xet.start_transaction("one", commit_message="other")
    with pytest.raises(pyxet.TransactionError):
        xet.set_commit_message("of nothing")


def test_a_file_system_from_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    fs = XetFS.from_url("xet://localhost:8787:acme/titanic/main/a.csv", token="secret", listings_expiry_time=0)
    assert fs == XetFS(endpoint="localhost:8787", token="secret", listings_expiry_time=0)
    monkeypatch.setenv("XET_ENDPOINT", "hub.acme.example")
    assert XetFS.from_url("acme/titanic").endpoint == "https://hub.acme.example"
    assert type(pyxet.AsyncXetFileSystem.from_url("acme", asynchronous=True)) is pyxet.AsyncXetFileSystem
    with pytest.raises(XetURLError):
        XetFS.from_url("s3://acme/titanic")


def test_web_addresses(xet: XetFS, repo: str, shared_endpoint: LocalEndpoint) -> None:
    end = shared_endpoint.url
    xet.pipe_file(f"{repo}/main/data/a b.txt", b"a")
    xet.make_branch(repo, "main", "work/one")
    commit = xet.info(f"{repo}/main")["commit"]
    assert xet.url(f"{repo}/main/data/a b.txt") == f"{end}/{repo}/resolve/main/data/a%20b.txt"
    assert xet.url(f"xet://{repo}/work%2Fone/data/") == f"{end}/{repo}/tree/work%2Fone/data"
    assert xet.url(f"{repo}/main") == f"{end}/{repo}/tree/main"
    assert xet.url(f"{repo}/main@{{now}}") == f"{end}/{repo}/tree/{commit}"
    assert (xet.url(repo), xet.url("acme"), xet.url("")) == (f"{end}/{repo}", f"{end}/acme", end)
    xet.make_repo(f"datasets/{repo}")
    assert xet.url(f"datasets/{repo}") == f"{end}/datasets/{repo}"
    assert xet.url(f"datasets/{repo}/main") == f"{end}/datasets/{repo}/tree/main"
    for missing in (f"{repo}/main/nope", f"{repo}/nope", f"{repo}-nope"):
        with pytest.raises(NotFoundError):
            xet.url(missing)


@pytest.mark.parametrize(
    ("url", "now"),
    [
        ("xet://huggingface.co/acme/titanic/main/a.csv", "xet://huggingface.co:acme/titanic/main/a.csv"),
        ("xet://huggingface.co/datasets/acme/titanic", "xet://huggingface.co:datasets/acme/titanic"),
        ("HuggingFace.co/acme/titanic", "xet://huggingface.co:acme/titanic"),
        ("xet://localhost/acme/titanic/main", "xet://localhost:acme/titanic/main"),
        ("xet://hub.acme.com/acme", "xet://hub.acme.com:acme"),
        ("xet://hf.co", "xet://hf.co:owner/repo/branch/path"),
        ("xet://xethub.com/XetHub/Flickr30k/main/a.csv", "xet://XetHub/Flickr30k/main/a.csv"),
    ],
)
def test_old_urls_say_what_to_write_now(url: str, now: str) -> None:
    with pytest.raises(XetURLError) as caught:
        XetURL.parse(url)
    assert str(caught.value).endswith(f": {now}")
    if "%" not in now and "owner/repo" not in now:
        assert str(XetURL.parse(now)) == now


@pytest.mark.parametrize("owner", ["acme", "acme.example", "huggingface", "local", "com"])
def test_owners_stay_owners(owner: str) -> None:
    assert XetURL.parse(f"xet://{owner}/titanic/main/a.com").owner == owner
