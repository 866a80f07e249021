"""Paths and URLs as a file system takes them: their grammar, endpoints, kinds of repositories, revisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.core import url_to_fs
from support.faults import FaultProxy, answer

import pyxet
from pyxet import NotFoundError, NotSupportedError, XetURLError
from pyxet.testing import LocalEndpoint

# -- grammar -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "wrong", "form"),
    [
        ("acme//main/x", "part 2 is empty", "owner/repo/branch/path"),
        ("acme/r/main/../x", "'..'", "owner/repo/branch/path"),
        ("ac me/r", "'ac me' is not a valid owner", "owner/repo/branch/path"),
        ("acme/r/-x/y", "'-x' is not a valid branch", "owner/repo/branch/path"),
        ("s3://acme/r", "scheme 's3'", "xet://"),
        ("xet://ho st:acme/r", "'ho st' is not a host", "xet://[endpoint:]"),
        ("xet://localhost:8787/acme/r", "colon is missing", "xet://localhost:8787:owner"),
        ("acme/r/main@{someday}/x", "@{someday}", "2026-11-01"),
    ],
)
def test_errors_name_what_is_wrong_and_what_was_expected(xet: pyxet.XetFS, url: str, wrong: str, form: str) -> None:
    with pytest.raises(XetURLError) as caught:
        xet.info(url)
    assert wrong in str(caught.value)
    assert form in str(caught.value)


def test_a_file_needs_a_path(xet: pyxet.XetFS, main: str) -> None:
    for call in (xet.cat_file, xet.open, lambda path: xet.pipe_file(path, b""), lambda path: xet.open(path, "wb")):
        with pytest.raises(XetURLError, match="owner/repo/branch/path"):
            call(main)


def test_a_path_is_the_same_however_it_is_written(xet: Any, shared_endpoint: LocalEndpoint, repo: str) -> None:
    xet.make_branch(repo, "main", "topic/x1")
    xet.pipe_file(f"{repo}/topic%2fx%31/a.csv", b"1")
    place = shared_endpoint.url.removeprefix("http://")
    name = f"{repo}/topic%2Fx1/a.csv"
    for folder in (f"{repo}/topic%2fx%31", f"models/{repo}/topic%2Fx1", f"xet://{place}:{repo}/topic%2fx1"):
        assert xet.glob(f"{folder}/*.csv") == xet.find(folder) == xet.ls(folder, detail=False) == [name]
        assert xet.cat(f"{folder}/*.csv") == {name: b"1"}
        assert xet.cat(f"{folder}/a.csv") == b"1"
        assert xet.info(f"{folder}/a.csv")["name"] == xet._strip_protocol(f"{folder}/a.csv") == name
    assert xet.ls(repo, detail=False) == [f"{repo}/main", f"{repo}/topic%2Fx1"]
    # Inside the repository a percent sign is a percent sign.
    xet.pipe_file(f"{repo}/main/50%25.txt", b"")
    assert xet.find(f"{repo}/main") == [f"{repo}/main/50%25.txt"]


def test_buckets_are_understood_and_not_supported(xet: pyxet.XetFS) -> None:
    for path in ("buckets/acme/b/x.bin", "buckets/acme/b", "buckets"):
        with pytest.raises(NotSupportedError, match="buckets"):
            xet.ls(path)


@pytest.mark.parametrize("kind", ["datasets", "spaces", "kernels"])
def test_other_kinds_of_repositories(xet: pyxet.XetFS, repo: str, kind: str) -> None:
    name = f"{kind}/{repo}"
    xet.make_repo(name)
    xet.pipe_file(f"{name}/main/d/x.bin", b"\xff" * 1000)
    assert xet.cat(f"xet://{name}/main/d/x.bin") == b"\xff" * 1000
    assert xet.find(name) == [f"{name}/main/.gitattributes", f"{name}/main/d/x.bin"]
    assert name in xet.ls(f"{kind}/acme", detail=False)
    assert name in xet.list_repos(f"{kind}/acme")
    assert repo not in xet.ls(f"{kind}/acme", detail=False)
    assert f"{kind}/acme" in xet.ls(kind, detail=False)
    assert xet.info(f"{name}/main/d")["name"] == f"{name}/main/d"
    assert xet.find(f"{repo}/main") == []


# -- endpoints ---------------------------------------------------------------------------------------------------------


def test_urls_with_an_endpoint(
    xet: pyxet.XetFS, shared_endpoint: LocalEndpoint, tree: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shared_endpoint.url.removeprefix("http://")
    url = f"xet://{place}:{tree}/top.txt"
    assert xet.unstrip_protocol(f"{tree}/top.txt") == url
    assert xet._strip_protocol(url) == f"{tree}/top.txt"
    assert xet.cat(url) == b"top"
    access = {"user": shared_endpoint.user, "token": shared_endpoint.token}
    with fsspec.open(url, "rt", **access) as file:
        assert file.read() == "top"
    with xet.open(url, "rt", encoding="ascii") as file:
        assert file.read() == "top"
    # An endpoint that is given as well must be the same.
    for given in (shared_endpoint.url, place):
        fs, path = url_to_fs(url, endpoint=given, **access)
        assert (fs.endpoint, path) == (shared_endpoint.url, f"{tree}/top.txt")
    with pytest.raises(XetURLError, match="another endpoint"):
        fsspec.open(url, endpoint="elsewhere.example", **access).open()
    # Without one in the URL, it is that of the environment.
    monkeypatch.setenv("XET_ENDPOINT", shared_endpoint.url)
    monkeypatch.setenv("XET_USER_TOKEN", shared_endpoint.token)
    assert pyxet.open(f"xet://{tree}/top.txt").read() == b"top"
    monkeypatch.delenv("XET_ENDPOINT")
    pyxet.login(shared_endpoint.user, shared_endpoint.token, host=place)
    try:
        with pyxet.open(url) as file:
            assert file.read() == b"top"
    finally:
        pyxet.logout()


def test_urls_do_not_tell_http_from_https() -> None:
    fs = pyxet.XetFS("http://hub.internal:8080")
    url = fs.unstrip_protocol("acme/r/main/x")
    assert url == "xet://hub.internal:8080:acme/r/main/x"
    assert fs._parse(url).full_path == "acme/r/main/x"
    assert pyxet.XetFS("https://huggingface.co").unstrip_protocol("acme/r") == "xet://acme/r"
    assert pyxet.XetFS("file:///tmp/xet-nowhere").unstrip_protocol("acme/r") == "xet://acme/r"


FOREIGN = "xet://elsewhere.example:acme/r/main/x"


@pytest.mark.parametrize(
    "call",
    [
        lambda fs, url, tmp: fs.info(url),
        lambda fs, url, tmp: fs.exists(url),
        lambda fs, url, tmp: fs.isdir(url),
        lambda fs, url, tmp: fs.ls(url),
        lambda fs, url, tmp: fs.find(url),
        lambda fs, url, tmp: list(fs.walk(url)),
        lambda fs, url, tmp: fs.glob(f"{url}*"),
        lambda fs, url, tmp: fs.glob("xet://elsewhere.example:*"),
        lambda fs, url, tmp: fs.expand_path(f"{url}/*"),
        lambda fs, url, tmp: fs.du(url),
        lambda fs, url, tmp: fs.cat(url),
        lambda fs, url, tmp: fs.cat([url]),
        lambda fs, url, tmp: fs.cat_file(url),
        lambda fs, url, tmp: fs.cat_ranges([url], 0, 1, on_error="raise"),
        lambda fs, url, tmp: fs.open(url),
        lambda fs, url, tmp: fs.open(url, "wb"),
        lambda fs, url, tmp: fs.pipe_file(url, b""),
        lambda fs, url, tmp: fs.pipe({url: b""}),
        lambda fs, url, tmp: fs.get_file(url, tmp / "x"),
        lambda fs, url, tmp: fs.get(url, str(tmp / "x")),
        lambda fs, url, tmp: fs.get([url], [str(tmp / "x")]),
        lambda fs, url, tmp: fs.put_file(__file__, url),
        lambda fs, url, tmp: fs.put(__file__, url),
        lambda fs, url, tmp: fs.put([__file__], [url]),
        lambda fs, url, tmp: fs.cp("acme/r/main/y", url),
        lambda fs, url, tmp: fs.cp([url], ["acme/r/main/y"]),
        lambda fs, url, tmp: fs.mv(url, "acme/r/main/y"),
        lambda fs, url, tmp: fs.rm(url),
        lambda fs, url, tmp: fs.rm(f"{url}*"),
        lambda fs, url, tmp: fs.rm_file(url),
        lambda fs, url, tmp: fs.mkdir(url),
        lambda fs, url, tmp: fs.touch(url),
        lambda fs, url, tmp: fs.log(url),
        lambda fs, url, tmp: fs.modified(url),
        lambda fs, url, tmp: fs.created(url),
        lambda fs, url, tmp: fs.ukey(url),
        lambda fs, url, tmp: fs.make_repo("xet://elsewhere.example:acme/new"),
        lambda fs, url, tmp: fs.delete_repo("xet://elsewhere.example:acme/many"),
        lambda fs, url, tmp: fs.list_branches("xet://elsewhere.example:acme/many"),
        lambda fs, url, tmp: fs.list_repos("xet://elsewhere.example:acme"),
    ],
)
def test_a_url_of_another_endpoint_makes_no_request(
    through: tuple[FaultProxy, pyxet.XetFS], tmp_path: Path, call: Any
) -> None:
    proxy, fs = through
    with pytest.raises(XetURLError, match=r"another endpoint|elsewhere"):
        call(fs, FOREIGN, tmp_path)
    assert proxy.seen == []


# -- revisions ---------------------------------------------------------------------------------------------------------


def test_reading_from_every_kind_of_revision(xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.pipe_file(f"{main}/x", b"one")
    first = xet.info(main)["commit"]
    xet.make_tag(repo, "v1")
    xet.pipe_file(f"{main}/x", b"two")
    second = xet.info(main)["commit"]
    for revision in ("v1", first, first[:7], first[:12], first.upper()[:9]):
        assert xet.cat(f"{repo}/{revision}/x") == b"one", revision
        assert xet.info(f"{repo}/{revision}/x")["commit"] == first
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    for revision in (second[:7], f"main@{{{tomorrow}}}", "main@{now}"):
        assert xet.cat(f"{repo}/{revision}/x") == b"two", revision
        assert xet.find(f"{repo}/{revision}") == [f"{repo}/{revision}/x"]
    for revision in ("main@{2001-01-01}", "main@{5.minutes.ago}", "0000000", "0" * 40):
        with pytest.raises(NotFoundError):
            xet.cat(f"{repo}/{revision}/x")
        assert not xet.exists(f"{repo}/{revision}/x")


def test_a_short_commit_where_the_endpoint_knows_whole_ones_only(
    through: tuple[FaultProxy, pyxet.XetFS], repo: str, main: str
) -> None:
    proxy, fs = through
    fs.pipe_file(f"{main}/x", b"one")
    commit = fs.info(main)["commit"]
    proxy.rule(rf"GET /api/models/{repo}/revision/{commit[:8]}$", answer(404, X_Error_Code="RevisionNotFound"))
    proxy.rule(rf"POST /api/models/{repo}/paths-info/{commit[:8]}$", answer(404, X_Error_Code="RevisionNotFound"))
    assert fs.cat(f"{repo}/{commit[:8]}/x") == b"one"
