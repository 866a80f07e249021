"""Repositories as a whole: duplicates, forks, other names, settings; content that repositories share."""

from __future__ import annotations

import asyncio
import random
import threading
import uuid

import pytest
from support.faults import FaultProxy, answer
from support.raw_client import RawClient

import pyxet
from pyxet import (
    AccessDeniedError,
    AlreadyExistsError,
    BadRequestError,
    ConfigError,
    NotSupportedError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    ServerError,
    XetURLError,
)
from pyxet.testing import LocalEndpoint

NOISE = random.Random(__name__).randbytes(600_000)


@pytest.fixture
def filled(xet: pyxet.XetFS, repo: str) -> str:
    """A repository with history, a branch and a tag."""
    xet.pipe({f"{repo}/main/d/x.bin": NOISE, f"{repo}/main/a.txt": b"text"}, message="first")
    xet.make_tag(repo, "v1", message="one")
    xet.make_branch(repo, "main", "work/one")
    xet.pipe_file(f"{repo}/work%2Fone/y.bin", NOISE[:100_000], message="second")
    return repo


def other_name(repo: str) -> str:
    return f"{repo.rpartition('/')[0]}/{uuid.uuid4().hex[:12]}"


def content_sent(proxy: FaultProxy) -> list[str]:
    return [seen.line for seen in proxy.seen if "/v1/" in seen.line or "/v2/" in seen.line or "/resolve/" in seen.line]


# -- duplicates and forks ----------------------------------------------------------------------------------------------


def test_a_duplicate_has_everything_and_moves_nothing(through: tuple[FaultProxy, pyxet.XetFS], filled: str) -> None:
    proxy, fs = through
    copy = f"{filled}-2"
    proxy.clear()
    found = fs.duplicate_repo(filled, f"xet://{copy}", private=True)
    assert (found["name"], found["kind"], found["files_pending"]) == (copy, "repo", False)
    assert content_sent(proxy) == []
    assert fs.repo_info(copy)["private"] is True
    for path in ("main", "work%2Fone", "v1"):
        assert fs.log(f"{copy}/{path}") == fs.log(f"{filled}/{path}")
        assert fs.find(f"{copy}/{path}") == [name.replace(filled, copy) for name in fs.find(f"{filled}/{path}")]
    assert fs.list_tags(copy) == ["v1"]
    assert fs.cat(f"{copy}/main/d/x.bin") == NOISE
    # From then on each goes its own way.
    fs.pipe_file(f"{copy}/main/a.txt", b"changed")
    assert fs.cat(f"{filled}/main/a.txt") == b"text"
    fs.delete_repo(filled)
    fs.invalidate_cache()
    assert fs.cat([f"{copy}/main/d/x.bin", f"{copy}/work%2Fone/y.bin"]) == {
        f"{copy}/main/d/x.bin": NOISE,
        f"{copy}/work%2Fone/y.bin": NOISE[:100_000],
    }
    # The visibility of the first one, unless said otherwise.
    assert fs.repo_info(fs.duplicate_repo(copy, f"{filled}-3")["name"])["private"] is True
    assert fs.repo_info(fs.duplicate_repo(copy, f"{filled}-4", private=False)["name"])["private"] is False


def test_duplicates_that_cannot_be(through: tuple[FaultProxy, pyxet.XetFS], filled: str) -> None:
    proxy, fs = through
    with pytest.raises(RepositoryNotFoundError):
        fs.duplicate_repo(f"{filled}-nope", f"{filled}-2")
    with pytest.raises(AlreadyExistsError):
        fs.duplicate_repo(filled, filled)
    for bad in ("", "acme", f"{filled}/main", f"datasets/{filled}"):
        with pytest.raises(XetURLError):
            fs.duplicate_repo(filled, bad)
        with pytest.raises(XetURLError):
            fs.rename_repo(filled, bad)
    # An endpoint without the route is no endpoint without the repository.
    for status in (404, 405, 501):
        proxy.rule(r"POST /api/models/.*/duplicate", answer(status))
        with pytest.raises(NotSupportedError, match="cannot duplicate"):
            fs.duplicate_repo(filled, f"{filled}-2")
        with pytest.raises(RepositoryNotFoundError):
            fs.duplicate_repo(f"{filled}-nope", f"{filled}-2")
        proxy.clear()
    proxy.rule(r"POST /api/models/.*/duplicate", answer(500))
    with pytest.raises(ServerError):
        fs.fork_repo(filled, f"{filled}-2")
    assert not fs.is_repo(f"{filled}-2")


def test_a_fork_goes_to_its_maker(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, filled: str) -> None:
    guest = pyxet.XetFS(shared_endpoint.url, "guest", shared_endpoint.add_token("guest"))
    name = filled.replace("acme/", "guest/")
    assert guest.fork_repo(filled)["name"] == name
    assert guest.cat(f"{name}/main/d/x.bin") == NOISE
    guest.pipe_file(f"{name}/main/mine.txt", b"mine")
    guest.cp(f"{name}/main/d/x.bin", f"{name}/main/again.bin")
    with pytest.raises(AlreadyExistsError):
        guest.fork_repo(filled)
    with pytest.raises(AccessDeniedError):
        guest.fork_repo(filled, f"{filled}-2")
    xet.set_repo_attr(filled, "private", True)
    with pytest.raises(RepositoryNotFoundError):
        guest.fork_repo(filled, f"{name}-2")


# -- other names -------------------------------------------------------------------------------------------------------


def test_a_renamed_repository_is_found_by_both_names(xet: pyxet.XetFS, filled: str) -> None:
    new = other_name(filled)
    log = xet.log(f"{filled}/v1")
    xet.rename_repo(filled, new)
    assert new in xet.list_repos("acme")
    assert filled not in xet.list_repos("acme")
    for name in (new, filled):
        assert xet.is_repo(name)
        assert xet.log(f"{name}/v1") == log
        assert xet.cat(f"{name}/main/d/x.bin") == NOISE
        assert xet.cat(f"{name}/main/a.txt") == b"text"
        assert xet.list_branches(name) == ["main", "work/one"]
        xet.pipe_file(f"{name}/main/z.bin", NOISE[: 2_000 + len(name)])
        assert xet.size(f"{new}/main/z.bin") == 2_000 + len(name)
    for missing in (f"{filled}-nope", filled):
        # There is nothing by the old name to be renamed or deleted.
        with pytest.raises(RepositoryNotFoundError):
            xet.rename_repo(missing, f"{filled}-2")
        with pytest.raises(RepositoryNotFoundError):
            xet.delete_repo(missing)
    with pytest.raises(AlreadyExistsError):
        xet.rename_repo(new, new)
    # A new repository takes the old name.
    xet.make_repo(filled)
    assert xet.ls(f"{filled}/main", detail=False) == [f"{filled}/main/.gitattributes"]
    assert xet.exists(f"{new}/main/a.txt")
    xet.delete_repo(filled)
    assert not xet.is_repo(filled)


def test_names_lead_on_and_end_with_the_repository(xet: pyxet.XetFS, filled: str) -> None:
    second, third = other_name(filled), other_name(filled)
    xet.rename_repo(filled, second)
    xet.rename_repo(second, third)
    assert xet.repo_info(filled)["commit"] == xet.repo_info(third)["commit"]
    xet.rename_repo(third, filled)
    assert {xet.cat(f"{name}/main/a.txt") for name in (filled, second, third)} == {b"text"}
    xet.delete_repo(filled)
    for name in (filled, second, third):
        assert not xet.is_repo(name)
    # What is called so later is another repository.
    xet.make_repo(filled)
    assert not xet.is_repo(third)


def test_an_open_transaction_goes_with_its_repository(xet: pyxet.XetFS, filled: str) -> None:
    new = other_name(filled)
    with xet.transaction(message="through it"):
        xet.pipe_file(f"{filled}/main/big.bin", NOISE * 3)
        with xet.open(f"{filled}/main/d/x.bin", "rb") as file:
            xet.rename_repo(filled, new)
            assert file.read() == NOISE
        xet.pipe_file(f"{filled}/main/later.txt", b"later")
    assert xet.log(f"{new}/main", limit=1)[0].title == "through it"
    assert xet.cat([f"{new}/main/big.bin", f"{new}/main/later.txt"])[f"{new}/main/big.bin"] == NOISE * 3


def test_writers_and_readers_survive_renames(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, filled: str) -> None:
    """Each commit is there once, and nothing is ever "not there", however often the repository gets another name."""
    stop = threading.Event()
    failures: list[Exception] = []
    written = 0

    def write() -> None:
        nonlocal written
        fs = pyxet.XetFS(shared_endpoint.url, "acme", shared_endpoint.token, listings_expiry_time=0)
        try:
            while not stop.is_set():
                fs.pipe({f"{filled}/main/w/{written}-{n}.bin": NOISE[written : written + 5_000] for n in range(3)})
                written += 1
        except Exception as error:  # noqa: BLE001  # told below
            failures.append(error)

    def read() -> None:
        fs = pyxet.XetFS(shared_endpoint.url, "acme", shared_endpoint.token, listings_expiry_time=0)
        try:
            while not stop.is_set():
                assert fs.cat(f"{filled}/main/d/x.bin") == NOISE
                assert fs.exists(f"{filled}/v1/a.txt")
                assert len(fs.find(f"{filled}/main", detail=False)) >= 2
        except Exception as error:  # noqa: BLE001  # told below
            failures.append(error)

    threads = [threading.Thread(target=work) for work in (write, read)]
    for thread in threads:
        thread.start()
    names = [filled, *(other_name(filled) for _ in range(3))]
    try:
        for number in range(40):
            xet.rename_repo(names[number % 4], names[(number + 1) % 4])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert written
    files = xet.find(f"{filled}/main/w")
    assert len(files) == 3 * written
    assert len(xet.log(f"{filled}/main")) == 2 + written


def test_old_names_do_not_tell_of_private_repositories(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, filled: str
) -> None:
    new = other_name(filled)
    xet.rename_repo(filled, new)
    nobody = RawClient(shared_endpoint)
    seen = nobody.get(f"/api/models/{filled}/tree/main/d?recursive=true&x=%2F")
    assert (seen.status, seen.headers["location"]) == (307, f"/api/models/{new}/tree/main/d?recursive=true&x=%2F")
    assert nobody.get(f"/{filled}/resolve/work%2Fone/a.txt").headers["location"] == f"/{new}/resolve/work%2Fone/a.txt"
    xet.set_repo_attr(filled, "private", True)
    hidden = nobody.get(f"/api/models/{filled}/tree/main/d")
    assert (hidden.status, hidden.code) == (404, "RepoNotFound")
    assert "location" not in hidden.headers
    assert hidden.body == nobody.get(f"/api/models/{new}/tree/main/d").body.replace(new.encode(), filled.encode())


# -- settings ----------------------------------------------------------------------------------------------------------


def test_settings(through: tuple[FaultProxy, pyxet.XetFS], repo: str) -> None:
    proxy, fs = through
    for name, value, private in (
        ("private", True, True), ("private", False, False), ("visibility", "private", True), ("visibility", "public", False),
        ("gated", False, False),
    ):  # fmt: skip
        fs.set_repo_attr(repo, name, value)
        assert fs.repo_info(repo)["private"] is private
    for name, value in (("gated", "auto"), ("gated", "manual"), ("visibility", "protected")):
        with pytest.raises(BadRequestError):
            fs.set_repo_attr(repo, name, value)
    proxy.clear()
    wrong: list[tuple[str, object]] = [
        ("colour", True), ("private", "yes"), ("private", 1), ("gated", True), ("visibility", None)
    ]  # fmt: skip
    for name, given in wrong:
        with pytest.raises(ConfigError, match=r"expected|setting"):
            fs.set_repo_attr(repo, name, given)
    assert proxy.seen == []
    with pytest.raises(RepositoryNotFoundError):
        fs.set_repo_attr(f"{repo}-nope", "private", True)


# -- references --------------------------------------------------------------------------------------------------------


def test_find_ref(xet: pyxet.XetFS, filled: str) -> None:
    main, work = xet.info(f"{filled}/main")["commit"], xet.info(f"{filled}/work%2Fone")["commit"]
    assert main != work

    def found(name: str) -> tuple[str, str, str | None, str]:
        info = xet.find_ref(filled, name)
        assert xet.info(info["name"])["commit"] == info["commit"]
        return info["name"].removeprefix(f"{filled}/"), info["kind"], info["ref"], info["commit"]

    assert found("main") == found("refs/heads/main") == ("main", "branch", "refs/heads/main", main)
    assert found("work/one") == ("work%2Fone", "branch", "refs/heads/work/one", work)
    assert found("v1") == ("v1", "tag", "refs/tags/v1", main)
    assert found(main) == found(main[:9]) == found("main@{now}") == (main, "commit", None, main)
    # A branch goes before a tag of its name.
    xet.make_branch(filled, "work/one", "v1")
    assert found("v1") == ("v1", "branch", "refs/heads/v1", work)
    for missing in ("nope", "refs/heads/nope", "0" * 7, "main@{2001-01-01}"):
        with pytest.raises(RevisionNotFoundError):
            xet.find_ref(filled, missing)
    with pytest.raises(RepositoryNotFoundError):
        xet.find_ref(f"{filled}-nope", "main")


# -- content of other repositories -------------------------------------------------------------------------------------


def test_copies_between_repositories_move_no_data(through: tuple[FaultProxy, pyxet.XetFS], filled: str) -> None:
    proxy, fs = through
    target = f"datasets/{other_name(filled)}"
    fs.make_repo(target)
    proxy.clear()
    fs.cp(f"{filled}/main/d", f"{target}/main/", recursive=True, message="across")
    assert content_sent(proxy) == []
    assert proxy.count(r"POST /api/models/.*/lfs-files/duplicate") == 1
    assert fs.log(f"{target}/main", limit=1)[0].title == "across"
    assert fs.info(f"{target}/main/d/x.bin")["xet_hash"] == fs.info(f"{filled}/main/d/x.bin")["xet_hash"]
    fs.delete_repo(filled)
    assert fs.cat(f"{target}/main/d/x.bin") == NOISE


def test_small_text_goes_inside_the_commit(xet: pyxet.XetFS, filled: str) -> None:
    target = other_name(filled)
    xet.make_repo(target)
    xet.pipe_file(f"{target}/main/.gitattributes", b"big/* filter=lfs diff=lfs merge=lfs -text\n")
    xet.cp(f"{filled}/main/a.txt", f"{target}/main/a.txt")
    xet.cp(f"{filled}/main/a.txt", f"{target}/main/big/a.txt")
    assert [xet.info(f"{target}/main/{path}").get("xet_hash") is None for path in ("a.txt", "big/a.txt")] == [
        True,
        False,
    ]
    assert xet.cat(f"{target}/main/", recursive=True)[f"{target}/main/big/a.txt"] == b"text"


def test_what_is_copied_may_be_read_and_moved_before_the_commit(
    through: tuple[FaultProxy, pyxet.XetFS], filled: str
) -> None:
    proxy, fs = through
    target, third = other_name(filled), other_name(filled)
    for name in (target, third):
        fs.make_repo(name)
    proxy.clear()
    with fs.transaction as tr:
        fs.cp(f"{filled}/main/d/x.bin", f"{target}/main/x.bin")
        fs.cp(f"{target}/main/x.bin", f"{third}/main/x.bin")
        fs.mv(f"{target}/main/x.bin", f"{target}/main/y.bin")
        assert content_sent(proxy) == []
        assert fs.cat(f"{target}/main/y.bin") == NOISE
    assert len(tr.commits) == 2
    assert fs.cat([f"{target}/main/y.bin", f"{third}/main/x.bin"]) == {
        f"{target}/main/y.bin": NOISE,
        f"{third}/main/x.bin": NOISE,
    }
    assert not fs.exists(f"{target}/main/x.bin")


@pytest.mark.parametrize("status", [404, 405, 422])
def test_what_the_endpoint_does_not_share_is_read_but_not_sent_again(
    through: tuple[FaultProxy, pyxet.XetFS], filled: str, status: int
) -> None:
    proxy, fs = through
    target = other_name(filled)
    fs.make_repo(target)
    proxy.clear()
    proxy.rule(r"POST /api/models/.*/lfs-files/duplicate", answer(status))
    fs.cp(f"{filled}/main/d/x.bin", f"{target}/main/1.bin")
    assert proxy.count("GET /v1/xorbs") > 0
    assert proxy.count("POST /v1/xorbs") == 0
    assert fs.cat(f"{target}/main/1.bin") == NOISE


def test_what_it_shares_only_in_part(through: tuple[FaultProxy, pyxet.XetFS], filled: str) -> None:
    proxy, fs = through
    target = other_name(filled)
    fs.make_repo(target)
    fs.pipe_file(f"{filled}/main/d/z.bin", NOISE[:70_000])
    refused = fs.info(f"{filled}/main/d/z.bin")["sha256"]
    body = f'{{"failed":[{{"sha256":"{refused}","error":"another region"}}]}}'.encode()
    proxy.rule(r"POST /api/models/.*/lfs-files/duplicate", answer(200, body))
    fs.cp(f"{filled}/main/d", f"{target}/main/", recursive=True)
    assert fs.cat(f"{target}/main/d", recursive=True) == {
        f"{target}/main/d/x.bin": NOISE,
        f"{target}/main/d/z.bin": NOISE[:70_000],
    }


def test_a_failure_to_share_is_a_failure(through: tuple[FaultProxy, pyxet.XetFS], filled: str) -> None:
    proxy, fs = through
    target = other_name(filled)
    fs.make_repo(target)
    proxy.rule(r"POST /api/models/.*/lfs-files/duplicate", answer(500))
    with pytest.raises(ServerError):
        fs.cp(f"{filled}/main/d/x.bin", f"{target}/main/x.bin")
    assert not fs.exists(f"{target}/main/x.bin")


def test_copies_from_what_somebody_else_shows(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, filled: str) -> None:
    guest = pyxet.XetFS(shared_endpoint.url, "guest", shared_endpoint.add_token("guest"))
    mine = filled.replace("acme/", "guest/") + "-copy"
    guest.make_repo(mine)
    guest.cp(f"{filled}/main/d/x.bin", f"{mine}/main/x.bin")
    xet.set_repo_attr(filled, "private", True)
    assert guest.cat(f"{mine}/main/x.bin") == NOISE
    guest.cp(f"{mine}/main/x.bin", f"{mine}/main/y.bin")
    with pytest.raises(RepositoryNotFoundError):
        guest.cp(f"{filled}/main/d/x.bin", f"{mine}/main/z.bin")


async def test_the_same_awaited(shared_endpoint: LocalEndpoint, filled: str) -> None:
    async with pyxet.AsyncXetFileSystem(
        shared_endpoint.url, "acme", shared_endpoint.token, asynchronous=True
    ) as fs:  # fmt: skip
        await fs._fork_repo(filled, f"{filled}-fork")
        await fs._rename_repo(f"{filled}-fork", f"{filled}-renamed")
        await fs._set_repo_attr(f"{filled}-renamed", "private", True)
        assert (await fs._repo_info(f"{filled}-fork"))["private"]
        assert (await fs._find_ref(f"{filled}-fork", "v1"))["kind"] == "tag"
        await asyncio.gather(
            *(fs._cp_file(f"{filled}/main/d/x.bin", f"{filled}-renamed/main/{n}.bin") for n in range(4))
        )
        assert await fs._cat_file(f"{filled}-renamed/main/3.bin") == NOISE
