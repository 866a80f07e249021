"""Options that a call does not have are TypeErrors which tell the nearest right one; those of fsspec and its users stay."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.callbacks import Callback

import pyxet
from pyxet import AsyncXetFileSystem, XetFS
from pyxet.testing import LocalEndpoint

# Neither blocks nor is awaited by users, or takes whatever its function takes.
PARTS = {"open_async", "set_session"}
# Whose options are the constructor's.
MAKERS = {"from_url", "from_dict", "from_json", "current", "clear_instance_cache", "transaction_type"}


def methods() -> list[str]:
    """Names of all public methods of a blocking file system."""
    return [
        name
        for name in dir(XetFS)
        if not name.startswith("_") and name not in PARTS | MAKERS and inspect.isfunction(getattr(XetFS, name))
    ]


def _arguments(method: Callable[..., Any], path: str, *, bound: bool = False) -> list[Any]:
    """Something for each argument that has to be given; none of it is looked at, as the option is wrong."""
    parameters = list(inspect.signature(method).parameters.values())[0 if bound else 1 :]
    return [path for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


async def _called(method: Callable[..., Any], path: str) -> None:
    made = method(*_arguments(method, path, bound=True), zzz=1)
    if inspect.isawaitable(made):
        await made


@pytest.mark.parametrize("name", methods())
def test_every_method_names_the_option_it_does_not_have(xet: XetFS, main: str, name: str) -> None:
    method = getattr(XetFS, name)
    arguments = _arguments(method, main)
    with pytest.raises(TypeError, match=r"has no option 'zzz'"):
        getattr(xet, name)(*arguments, zzz=1)
    options = [
        p.name for p in list(inspect.signature(method).parameters.values())[1:]
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.default is not p.empty
    ]  # fmt: skip
    for option in options:
        # As it happens: two letters change places, or one is missing.
        for wrong in {option[:-2] + option[-1] + option[-2], option[:-1]} - {*options, option}:
            with pytest.raises(TypeError, match=rf"'{wrong}' \(did you mean '\w+'\?\)"):
                getattr(xet, name)(*arguments, **{wrong: None})


async def test_every_coroutine_names_the_option_it_does_not_have(shared_endpoint: LocalEndpoint, main: str) -> None:
    fs = AsyncXetFileSystem(shared_endpoint.url, asynchronous=True)
    awaited = [f"_{name}" for name in methods() if name != "open" and hasattr(fs, f"_{name}")]
    for name in [*awaited, "open_async"]:
        with pytest.raises(TypeError, match=r"has no option 'zzz'"):
            await _called(getattr(fs, name), main)


def test_what_was_lost_in_silence(xet: XetFS, main: str) -> None:
    path = f"{main}/a"
    xet.pipe_file(path, b"a")
    # Mistakes, which a type checker would tell too (tests/typing).
    fs: Any = xet
    open_url: Any = pyxet.open
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: fs.pipe_file(path, b"b", if_macth="x"), "'if_macth' (did you mean 'if_match'?)"),
        (lambda: fs.put_file(__file__, path, progress_bar=True), "'progress_bar' (did you mean 'progress'?)"),
        (lambda: fs.ls(main, recursive=True), "'recursive'"),
        (lambda: fs.ls(main, timeot=3), "'timeot' (did you mean 'timeout'?)"),
        (lambda: fs.open(path, "wb", mesage="x"), "'mesage' (did you mean 'message'?)"),
        (lambda: fs.write_bytes(path, b"b", if_macth="x"), "pipe_file has no option"),
        (lambda: fs.rm(path, mode="create"), "rm has no option 'mode'"),
        (lambda: fs.stage(b"x", path, message="x"), "stage has no option 'message'"),
        (lambda: fs.transaction(mesage="x"), "transaction has no option 'mesage' (did you mean 'message'?)"),
        (lambda: fs.walk(main, topdwn=False), "'topdwn' (did you mean 'topdown'?)"),
        (lambda: open_url(xet.unstrip_protocol(path), "rb", encodin="utf-8"), "'encodin' (did you mean 'encoding'?)"),
        (lambda: fs.open(path, "rb", if_match="x"), "if_match: not allowed for a file that is opened for reading"),
        (
            lambda: fs.open(path, "r", message="x", parent_commit="0" * 40),
            "message, parent_commit: not allowed for a file",
        ),
    ]
    for call, words in calls:
        with pytest.raises(TypeError) as caught:
            call()
        assert words in str(caught.value)
    with pytest.raises(ValueError, match="for text"):
        xet.open(path, "rb", encoding="utf-8")
    assert xet.cat(path) == b"a"


def test_the_constructor(shared_endpoint: LocalEndpoint) -> None:
    kind: Any
    for kind in (XetFS, AsyncXetFileSystem):
        with pytest.raises(TypeError, match=rf"{kind.__name__} has no option 'endpont' \(did you mean 'endpoint'\?\)"):
            kind(endpont=shared_endpoint.url)
    with pytest.raises(TypeError, match=r"'endpont' \(did you mean 'endpoint'\?\), 'tokne' \(did you mean 'token'\?\)"):
        kind(endpont=shared_endpoint.url, tokne="t")
    with pytest.raises(TypeError, match="'tokne'"):
        fsspec.filesystem("xet", tokne="t")
    with pytest.raises(TypeError, match="'mesage'"):
        fsspec.open("xet://acme/titanic/main/a", "wb", mesage="x")
    with pytest.raises(TypeError, match="'lisitngs_expiry_time'"):
        XetFS.from_url("xet://acme/titanic/main", lisitngs_expiry_time=1)
    with pytest.raises(TypeError, match="'profile'"):
        fsspec.url_to_fs("xet://acme/titanic/main", profile="x")


def test_two_names_of_the_message(xet: Any, main: str) -> None:
    with pytest.raises(TypeError, match="two names of one option"):
        xet.pipe_file(f"{main}/a", b"a", message="x", commit_message="y")
    with pytest.raises(TypeError, match="two names of one option"):
        xet.pipe_file(f"{main}/a", b"a", "overwrite", "x", commit_message="y")
    with pytest.raises(TypeError, match="needs a commit_message"):
        xet.pipe_file(f"{main}/a", b"a", commit_description="y")
    with xet.transaction(commit_message="x", commit_description="y"):
        xet.pipe_file(f"{main}/a", b"a")
    assert xet.log(main)[0].message == "x\n\ny"


# -- what stays --------------------------------------------------------------------------------------------------------


def test_options_of_fsspec(shared_endpoint: LocalEndpoint, main: str, tmp_path: Path) -> None:
    account: dict[str, Any] = {
        "endpoint": shared_endpoint.url,
        "user": shared_endpoint.user,
        "token": shared_endpoint.token,
    }
    fs: Any = XetFS(
        **account, use_listings_cache=False, skip_instance_cache=True, max_paths=10, auto_mkdir=True, batch_size=4
    )
    assert fs._max_age == 0
    path = f"{main}/d/a"
    (tmp_path / "local").write_bytes(b"local")
    fs.pipe({path: b"0123456789"}, batch_size=2)
    fs.put(str(tmp_path / "local"), f"{main}/d/b", batch_size=2, callback=Callback())
    fs.put_file(str(tmp_path / "local"), f"{main}/d/c", callback=Callback())
    fs.cp([f"{main}/d/b"], [f"{main}/d/e"], batch_size=2, on_error="raise")
    fs.mv([f"{main}/d/e"], [f"{main}/d/f"], batch_size=2)
    fs.rm([f"{main}/d/f"], batch_size=2)
    assert fs.cat([path], batch_size=2, on_error="omit") == {path: b"0123456789"}
    assert fs.cat_ranges([path], [1], [3], batch_size=2, max_gap=None) == [b"12"]
    fs.get(path, str(tmp_path / "down"), batch_size=2, callback=Callback())
    with (tmp_path / "out").open("wb") as file:
        fs.get_file(path, outfile=file)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "down").read_bytes() == b"0123456789"
    for call in (fs.ls, fs.info, fs.exists, fs.find, fs.glob, fs.du):
        assert call(path, refresh=True)
    assert fs.ls(f"{main}/d", detail=False, refresh=True) == [f"{main}/d/{name}" for name in "abc"]
    assert [files for _, _, files in fs.walk(f"{main}/d", refresh=True, detail=False)] == [["a", "b", "c"]]
    fs.makedirs(f"{main}/other", exist_ok=True)
    fs.mkdir(f"{main}/other", create_parents=False)
    for options in (
        {"block_size": 4, "cache_type": "readahead", "cache_options": {}},
        {"cache_type": "bytes"},
        {"size": 10, "autocommit": True},
        {"default_cache": "none"},
    ):
        with fs.open(path, "rb", **options) as file:
            assert file.read(3) == b"012"


def test_how_files_are_read_by_default(shared_endpoint: LocalEndpoint, url: str, options: dict[str, str]) -> None:
    with fsspec.open(f"{url}/a", "wb", **options) as file:
        file.write(b"0123456789")
    with fsspec.open(f"{url}/a", "rb", **options, block_size=4, cache_type="readahead", cache_options={}) as f:
        assert type(f.cache).name == "readahead"
        assert f.blocksize == 4
    fs, path = fsspec.url_to_fs(f"{url}/a", **options, cache_type="bytes")
    with fs.open(path) as f:
        assert type(f.cache).name == "bytes"
    with fs.open(path, cache_type="readahead") as f:
        assert type(f.cache).name == "readahead"


def test_prefix(xet: XetFS, main: str) -> None:
    names = ["a.txt", "ab/x", "ab/y", "ab/deep/z", "abc", "b/a"]
    xet.pipe({f"{main}/{name}": b"x" for name in names})

    def found(prefix: str, **options: Any) -> list[str]:
        return [name.removeprefix(f"{main}/") for name in xet.find(main, prefix=prefix, **options)]

    assert found("") == sorted(names)
    for prefix in ("a", "ab", "ab/", "ab/x", "ab/d", "b", "zz", "abc/x", "ab/deep/z", "/a"):
        assert found(prefix) == sorted(name for name in names if name.startswith(prefix))
        for depth in (1, 2):
            expected = [
                name for name in sorted(names) if name.startswith(prefix) and name.count("/") < depth
            ]  # fmt: skip
            assert found(prefix, maxdepth=depth) == expected
    assert found("ab", withdirs=True) == ["ab", "ab/deep", "ab/deep/z", "ab/x", "ab/y", "abc"]
    assert xet.find("acme", prefix=main.split("/")[1], maxdepth=1, withdirs=True) == [main.rpartition("/")[0]]
    assert xet.glob(f"{main}/*", prefix="ab") == [f"{main}/ab", f"{main}/abc"]
    assert xet.glob(f"{main}/a*/*", prefix="ab/x") == [f"{main}/ab/x"]
    assert list(xet.find(main, prefix="abc", detail=True)) == [f"{main}/abc"]


def test_a_prefix_is_not_looked_for_elsewhere(through: tuple[Any, XetFS], main: str) -> None:
    proxy, fs = through
    fs.pipe({f"{main}/{folder}/{number}": b"x" for folder in "ab" for number in range(3)})
    fs.invalidate_cache()
    proxy.seen.clear()
    assert len(fs.find(main, prefix="a/")) == 3
    assert proxy.count(r"GET .*/tree/[^/]+/a") == 1
    assert proxy.count(r"GET .*/tree/") == 1


def test_functions(tmp_path: Path) -> None:
    public: Any = pyxet
    calls: list[tuple[Callable[[], Any], str]] = [
        (
            lambda: public.ingest("a", "acme/b/main", mesage="x"),
            r"ingest has no option 'mesage' \(did you mean 'message'\?\)",
        ),
        (lambda: public.login("me", "t", hots="x"), r"login has no option 'hots' \(did you mean 'host'\?\)"),
        (lambda: public.logout(save=True), r"logout has no option 'save' \(did you mean 'saved'\?\)"),
        (lambda: public.testing.local_endpoint(tmp_path, usr="x"), r"'usr' \(did you mean 'user'\?\)"),
    ]
    for call, words in calls:
        with pytest.raises(TypeError, match=words):
            call()
