"""What pyxet offers: public names, a blocking method for each coroutine, all of fsspec, and whose account is used."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import re
import sys
import typing
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.asyn import AsyncFileSystem
from fsspec.generic import rsync
from fsspec.spec import AbstractFileSystem

import pyxet
from pyxet import AsyncXetFileSystem, AuthenticationError, ConfigError, NotSupportedError, XetFS
from pyxet.testing import LocalEndpoint

# The list, word for word.
WANTED = [
    "_info",
    "_ls",
    "_find",
    "_walk",
    "_glob",
    "_exists",
    "_cat_file",
    "_cat",
    "_cat_ranges",
    "_pipe_file",
    "_pipe",
    "_put_file",
    "_put",
    "_get_file",
    "_get",
    "_cp_file",
    "_copy",
    "_mv",
    "_rm",
    "_rm_file",
    "_mkdir",
    "_makedirs",
    "_isfile",
    "_isdir",
    "_du",
    "_created",
    "_modified",
]
METHODS = [
    "make_repo",
    "delete_repo",
    "list_repos",
    "is_repo",
    "repo_info",
    "list_branches",
    "make_branch",
    "delete_branch",
    "branch_exists",
    "branch_info",
    "make_tag",
    "list_tags",
    "delete_tag",
    "log",
    "iter_log",
    "diff",
    "find_ref",
    "url",
    "fork_repo",
    "duplicate_repo",
    "rename_repo",
    "set_repo_attr",
    "get_username",
    "isdir_or_branch",
    "ukey",
    "checksum",
]


def token_of(fs: pyxet.XetFS) -> str | None:
    return fs.credential.token.reveal() if fs.credential.token else None


def coroutines(kind: type) -> dict[str, Any]:
    found = {}
    for name in dir(kind):
        method = inspect.getattr_static(kind, name)
        inner = inspect.unwrap(method)
        if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
            found[name] = method
    return found


# -- names -------------------------------------------------------------------------------------------------------------


def test_public_names() -> None:
    assert sorted(pyxet.__all__) == sorted(set(pyxet.__all__))
    for name in pyxet.__all__:
        assert getattr(pyxet, name) is not None
    expected = {"XetFS", "AsyncXetFileSystem", "open", "login", "logout", "XetURL", "Transaction", "Commit", "Limits"}
    assert expected | {"RetryPolicy", "__version__"} | set(pyxet.errors.__all__) <= set(pyxet.__all__)


def test_nothing_else_is_public() -> None:
    modules = {name for name, value in vars(pyxet).items() if inspect.ismodule(value)}
    public = {name for name in vars(pyxet) if not name.startswith("_")} - modules
    assert public - {*pyxet.__all__, *pyxet._OPTIONAL} <= {"annotations", "Any", "Final", "TYPE_CHECKING"}


@pytest.mark.parametrize(
    ("module", "package", "words"),
    [
        ("pyxet.dask", "dask", r"pip install 'pyxet\[dask\]'"),
        ("pyxet.ray", "ray", r"pip install 'pyxet\[ray\]'"),
        ("pyxet.polars", "polars", "pip install polars pyarrow"),
        ("pyxet.path", "upath", r"pip install 'pyxet\[path\]'"),
    ],
)
def test_modules_for_tools_tell_what_they_need(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str, words: str
) -> None:  # fmt: skip
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=words):
        importlib.import_module(module)


def test_to_parquet_tells_that_it_needs_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(pyxet.ConfigError, match="pip install pyarrow"):
        pyxet.to_parquet(None, "xet://acme/titanic/main/x.parquet")


def test_the_entry_point() -> None:
    assert fsspec.get_filesystem_class("xet") is XetFS
    assert issubclass(XetFS, AsyncXetFileSystem)
    assert issubclass(XetFS, AsyncFileSystem)


def test_what_a_file_system_shows_is_for_users_and_documented(xet: XetFS) -> None:
    """What is neither fsspec's nor in the reference is a helper, and private."""
    names = (Path(__file__).parents[2] / "docs" / "api" / "names.md").read_text()
    documented = re.findall(r"`(\w+)`", names)
    assert len(documented) == len(set(documented))
    shown = {name for name in dir(xet) if not name.startswith("_")}
    assert shown - set(dir(AsyncFileSystem())) == set(documented)
    asynchronous = AsyncXetFileSystem(xet.endpoint, asynchronous=True)
    assert {name for name in dir(asynchronous) if not name.startswith("_")} <= shown


# -- blocking methods --------------------------------------------------------------------------------------------------


def test_each_coroutine_has_a_blocking_method_and_the_other_way_round() -> None:
    # Those that refuse unknown options are for users; the others are parts of these.
    public = {name for name, method in coroutines(AsyncXetFileSystem).items() if hasattr(method, "taken")}
    blocking = {name for name, value in vars(XetFS).items() if type(value).__name__.startswith("Blocking")}
    assert {f"_{name}" for name in blocking} == public - {"open_async"}
    assert set(WANTED) <= public
    assert set(METHODS) <= blocking


def test_blocking_methods_have_the_signature_and_the_words_of_their_coroutine(xet: XetFS) -> None:
    for name, value in vars(XetFS).items():
        if type(value).__name__.startswith("Blocking"):
            bound, coroutine = getattr(xet, name), getattr(xet, f"_{name}")
            assert inspect.signature(bound) == inspect.signature(coroutine), name
            assert bound.__doc__ == coroutine.__doc__, name
            assert not inspect.iscoroutinefunction(bound)
            assert callable(getattr(XetFS, name))


def test_our_coroutines_are_annotated() -> None:
    for name, method in coroutines(AsyncXetFileSystem).items():
        if method.__module__.startswith("pyxet"):
            assert "return" in method.__annotations__, name
            typing.get_overloads(method)


def test_a_subclass_changes_both_faces(shared_endpoint: LocalEndpoint, main: str) -> None:
    class Loud(XetFS):
        async def _cat_file(self, path: str, *args: Any, **kwargs: Any) -> bytes:
            return (await super()._cat_file(path, *args, **kwargs)).upper()

        def exists(self, path: Any, **kwargs: Any) -> bool:  # type: ignore[override]
            return not super().exists(path, **kwargs)

    fs = Loud(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    fs.pipe_file(f"{main}/x", b"x")
    assert fs.cat_file(f"{main}/x") == b"X"
    assert XetFS.cat_file(fs, f"{main}/x") == b"X"
    assert list(XetFS.walk(fs, main)) == [(main, [], ["x"])]
    assert not fs.exists(f"{main}/x")


def test_what_blocks_says_so_where_all_is_awaited(shared_endpoint: LocalEndpoint, main: str) -> None:
    fs = AsyncXetFileSystem(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    # fsspec's own would answer "no", as they take every error for that.
    for call in (fs.exists, fs.isdir, fs.isfile, fs.ls, fs.find, fs.cat, fs.open, fs.rm, fs.read_text, fs.cp):
        with pytest.raises(NotSupportedError, match="await "):
            call(*[main] * (2 if call == fs.cp else 1))
    assert asyncio.run(fs._exists(main))


# -- all of fsspec -----------------------------------------------------------------------------------------------------


def test_methods_that_fsspec_makes_from_others(xet: XetFS, main: str, tmp_path: Path) -> None:
    xet.write_text(f"{main}/t", "some text\nmore\n", encoding="utf-8")
    assert xet.read_text(f"{main}/t", encoding="utf-8") == "some text\nmore\n"
    xet.write_bytes(f"{main}/b", b"0123456789")
    assert xet.read_bytes(f"{main}/b", 2, 5) == b"234"
    assert xet.head(f"{main}/b", 3) == b"012"
    assert xet.tail(f"{main}/b", 3) == b"789"
    assert xet.read_block(f"{main}/t", 3, 8, delimiter=b"\n") == b"more\n"
    assert xet.cat([f"{main}/b"]) == {f"{main}/b": b"0123456789"}
    xet.touch(f"{main}/new")
    xet.touch(f"{main}/b", truncate=False)
    assert (xet.size(f"{main}/new"), xet.size(f"{main}/b")) == (0, 10)
    assert xet.listdir(main, detail=False) == [f"{main}/{name}" for name in ("b", "new", "t")]
    assert xet.stat(f"{main}/b") == xet.info(f"{main}/b")
    assert xet.disk_usage(main) == xet.du(main) == 25
    assert "new" in xet.tree(main)
    assert isinstance(xet.created(f"{main}/b"), datetime)
    assert isinstance(xet.modified(f"{main}/b"), datetime)
    (tmp_path / "local").write_bytes(b"local")
    xet.upload(str(tmp_path / "local"), f"{main}/up")
    xet.download(f"{main}/up", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == b"local"


def test_aliases_end_in_our_methods(xet: XetFS, main: str) -> None:
    def commits() -> int:
        return len(xet.log(main))

    xet.pipe({f"{main}/d/{number}": b"x" for number in range(3)})
    before = commits()
    xet.cp(f"{main}/d", f"{main}/e", recursive=True)
    xet.move(f"{main}/e", f"{main}/f", recursive=True)
    xet.rename(f"{main}/f", f"{main}/g", recursive=True)
    xet.delete(f"{main}/g", recursive=True)
    # One commit each, however many files.
    assert commits() - before == 4
    assert len(xet.find(main)) == 3
    before = commits()
    for call in (xet.mkdir, xet.makedir, xet.makedirs, xet.mkdirs):
        call(f"{main}/nothing")
    assert commits() == before
    with pytest.raises(FileExistsError):
        xet.makedir(f"{main}/d/0")
    with pytest.raises(OSError, match="not empty"):
        xet.rmdir(f"{main}/d")


def test_mappings(xet: XetFS, main: str) -> None:
    mapping = xet.get_mapper(f"{main}/m")
    mapping["a/b"] = b"1"
    mapping.setitems({"c": b"2", "d": b"3"})
    assert sorted(mapping) == ["a/b", "c", "d"]
    assert mapping["a/b"] == b"1"
    assert mapping.getitems(["c", "nope"], on_error="omit") == {"c": b"2"}
    for missing in ("nope", "a"):
        with pytest.raises(KeyError):
            mapping[missing]
    assert "a" not in mapping
    del mapping["c"]
    mapping.delitems(["d"])
    assert dict(mapping) == {"a/b": b"1"}
    access = {"user": xet.credential.user, "token": token_of(xet)}
    assert dict(fsspec.get_mapper(xet.unstrip_protocol(f"{main}/m"), **access)) == {"a/b": b"1"}


def test_functions_of_fsspec(xet: XetFS, main: str) -> None:
    access = {"user": xet.credential.user, "token": token_of(xet)}
    root = xet.unstrip_protocol(main)
    with fsspec.open(f"{root}/a.txt", "wt", **access) as file:
        file.write("text")
    with fsspec.open(f"{root}/a.txt.gz", "wb", compression="infer", **access) as file:
        file.write(b"zipped")
    assert fsspec.open(f"{root}/a.txt.gz", compression="infer", **access).open().read() == b"zipped"
    files = fsspec.open_files(f"{root}/*.txt", **access)
    with files as opened:
        assert [file.read() for file in opened] == [b"text"]
    with fsspec.open_files([f"{root}/1", f"{root}/2"], "wb", **access) as opened:
        for file in opened:
            file.write(b"x")
    assert len(xet.find(main)) == 4
    with fsspec.open(f"simplecache::{root}/a.txt", xet=access) as file:
        assert file.read() == b"text"
    with fsspec.open(f"filecache::{root}/a.txt", xet=access) as file:
        assert file.read() == b"text"
    within = fsspec.filesystem("dir", path=main, fs=xet)
    assert within.cat("a.txt") == b"text"
    assert len(within.find("")) == 4
    other = fsspec.filesystem("memory")
    options = {"default_method": "options", "storage_options": {"xet": {"endpoint": xet.endpoint, **access}}}
    rsync(f"{root}/", "memory://from-xet/", inst_kwargs=options)
    assert other.cat("/from-xet/1") == b"x"
    other.rm("/from-xet", recursive=True)


def test_json(xet: XetFS) -> None:
    fs = XetFS(xet.endpoint, token="secret", limits=pyxet.Limits(concurrency=3), retry=pyxet.RetryPolicy(attempts=2))
    text = fs.to_json()
    again = AbstractFileSystem.from_json(text)
    assert (again.endpoint, again.limits, again._retry, again.credential) == (
        fs.endpoint,
        fs.limits,
        fs._retry,
        fs.credential,
    )
    assert XetFS.from_dict(fs.to_dict()).limits.concurrency == 3
    for hidden in (fs, XetFS(xet.endpoint, "me", "secret")):
        assert "secret" not in hidden.to_json(include_password=False)
        assert json.loads(hidden.to_json(include_password=False))["cls"] == "pyxet.fs:XetFS"
    with pytest.raises(ConfigError, match="Limits"):
        XetFS(xet.endpoint, limits={"memorie": 3})


# -- whose account -----------------------------------------------------------------------------------------------------


@pytest.fixture
def logged_out() -> Iterator[None]:
    pyxet.logout()
    yield
    pyxet.logout()


def test_endpoints_and_credentials_by_rank(
    shared_endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch, logged_out: None, tmp_path: Path
) -> None:
    token, url = shared_endpoint.token, shared_endpoint.url
    place = url.removeprefix("http://")
    assert XetFS().endpoint == "https://huggingface.co"
    # The Hub's variables: the token is for their endpoint.
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HF_TOKEN", token)
    assert XetFS().get_username() == "acme"
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    assert XetFS().endpoint == "https://hub.example"
    assert XetFS(place).credential.token is None
    with pytest.raises(AuthenticationError):
        XetFS(place).get_username()
    # Ours go before them, without taking their token along.
    monkeypatch.setenv("XET_ENDPOINT", place)
    assert (XetFS().endpoint, XetFS().credential.token) == (url, None)
    monkeypatch.setenv("XET_USER_TOKEN", token)
    assert XetFS().get_username() == "acme"
    assert token_of(XetFS("https://hub.example")) == token
    # A login goes before variables, an argument before a login.
    monkeypatch.setenv("XET_USER_TOKEN", "wrong")
    with pytest.raises(AuthenticationError) as caught:
        XetFS().get_username()
    assert "wrong" not in str(caught.value)
    pyxet.login("acme", token, host=place)
    assert XetFS().get_username() == "acme"
    monkeypatch.setenv("XET_ENDPOINT", "https://other.example")
    assert XetFS().endpoint == url
    with pytest.raises(AuthenticationError):
        XetFS(token="wrong").get_username()
    assert XetFS("elsewhere.example").credential.token is None
    pyxet.logout()
    assert XetFS().endpoint == "https://other.example"
    # The Hub's file.
    for name in ("XET_ENDPOINT", "XET_USER_TOKEN", "HF_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "token").write_text(f"{token}\n")
    assert XetFS().get_username() == "acme"


def test_cached_instances_follow_the_environment(monkeypatch: pytest.MonkeyPatch, logged_out: None) -> None:
    one = XetFS()
    assert XetFS() is one
    monkeypatch.setenv("XET_ENDPOINT", "https://one.example")
    two = XetFS()
    assert two is not one
    assert two.endpoint == "https://one.example"
    pyxet.login("me", "t", host="https://one.example", check=False)
    assert XetFS() is not two
    assert token_of(XetFS()) == "t"
    pyxet.login("me", "u", host="https://one.example", check=False)
    assert token_of(XetFS()) == "u"
    pyxet.logout()
    monkeypatch.delenv("XET_ENDPOINT")
    assert XetFS() is one


def test_tokens_do_not_show(shared_endpoint: LocalEndpoint, main: str) -> None:
    fs = XetFS(shared_endpoint.url, "acme", shared_endpoint.token)
    texts = [repr(fs), str(fs), repr(fs.credential), repr(fs.transaction), fs.fsid, fs.unstrip_protocol(main)]
    with pytest.raises(pyxet.NotFoundError) as caught:
        fs.cat_file(f"{main}/nope")
    texts += [str(caught.value), repr(caught.value)]
    with fs.transaction as transaction:
        texts += [repr(transaction), repr(transaction.fs)]
        with fs.open(f"{main}/x", "wb") as file:
            texts.append(repr(file))
    assert not [text for text in texts if shared_endpoint.token in text]


def test_an_embedded_endpoint(tmp_path: Path, main: str) -> None:
    fs = XetFS(f"file://{tmp_path}/store")
    assert fs.exists("local") or fs.get_username()
    name = f"{fs.get_username()}/r"
    fs.make_repo(name)
    other = XetFS(f"file://{tmp_path}/store/", listings_expiry_time=0)
    assert other is not fs
    with fs.transaction:
        # The other instance takes part from its first call on.
        other.pipe_file(f"{name}/main/x", b"x")
        assert fs.exists(f"{name}/main/x")
        assert len(fs.log(f"{name}/main")) == 1
    assert len(fs.log(f"{name}/main")) == 2
    assert other.cat_file(f"xet://{name}/main/x") == b"x"
