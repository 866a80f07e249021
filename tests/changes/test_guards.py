"""Every way to write honours ``mode="create"``, ``if_match``, ``parent_commit`` and ``message``.

The table of ways is held against the signatures of all public methods, so that a new method has to be in it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from support.accounts import token_of
from support.history import messages

import pyxet
from pyxet import AlreadyExistsError, ConfigError, EditConflictError, FilePointer, Transaction, XetFS

OURS = b"ours"
Way = Callable[..., Any]


def _put_folder(call: Way, path: str, **options: Any) -> Any:
    folder = Path(__file__).parents[1] / "vectors"
    return call(f"{folder}/", path.rpartition("/")[0], recursive=True, **options)


def _staged(fs: Any, path: str) -> FilePointer:
    plain = XetFS(fs.endpoint, fs.credential.user, token_of(fs))
    return plain.stage(OURS, path)


def _open(fs: Any, path: str, **options: Any) -> None:
    mode = "x" if options.pop("mode", "overwrite") == "create" else "w"
    with fs.open(path, f"{mode}b", **options) as file:
        file.write(OURS)


def _open_text(fs: Any, path: str, **options: Any) -> None:
    mode = "x" if options.pop("mode", "overwrite") == "create" else "w"
    with fs.open(path, mode, **options) as file:
        file.write(OURS.decode())


def _commit(fs: Any, path: str, **options: Any) -> None:
    fs.commit("/".join(path.split("/")[:3]), [_staged(fs, path)], **options)


# Ways to write one path, by the method that each is a call of. All write ``OURS`` but those that say so; ``cp`` and ``mv``
# find their source at ``<path>.source``.
WAYS: dict[str, list[Way]] = {
    "pipe_file": [lambda fs, path, **options: fs.pipe_file(path, OURS, **options)],
    "write_bytes": [lambda fs, path, **options: fs.write_bytes(path, OURS, **options)],
    "write_text": [lambda fs, path, **options: fs.write_text(path, OURS.decode(), **options)],
    "pipe": [
        lambda fs, path, **options: fs.pipe(path, OURS, **options),
        lambda fs, path, **options: fs.pipe({path: OURS}, **options),
        lambda fs, path, **options: fs.pipe({f"{path}.other": b"", path: OURS}, **_mapped(path, options)),
    ],
    "put_file": [lambda fs, path, **options: fs.put_file(__file__, path, **options)],
    "put": [
        lambda fs, path, **options: fs.put(__file__, path, **options),
        lambda fs, path, **options: fs.put([__file__], [path], **options),
        lambda fs, path, **options: fs.put([__file__] * 2, [f"{path}.other", path], **_mapped(path, options)),
    ],
    "upload": [lambda fs, path, **options: fs.upload(__file__, path, **options)],
    "cp_file": [lambda fs, path, **options: fs.cp_file(f"{path}.source", path, **options)],
    "copy": [
        lambda fs, path, **options: fs.copy(f"{path}.source", path, **options),
        lambda fs, path, **options: fs.copy([f"{path}.source"], [path], **options),
    ],
    "cp": [lambda fs, path, **options: fs.cp(f"{path}.source", path, **options)],
    "mv_file": [lambda fs, path, **options: fs.mv_file(f"{path}.source", path, **options)],
    "mv": [
        lambda fs, path, **options: fs.mv(f"{path}.source", path, **options),
        lambda fs, path, **options: fs.mv([f"{path}.source"], [path], **options),
    ],
    "move": [lambda fs, path, **options: fs.move(f"{path}.source", path, **options)],
    "rename": [lambda fs, path, **options: fs.rename(f"{path}.source", path, **options)],
    "touch": [lambda fs, path, **options: fs.touch(path, **options)],
    "open": [_open, _open_text],
    "commit": [_commit],
    "rm": [
        lambda fs, path, **options: fs.rm(path, **options),
        lambda fs, path, **options: fs.rm([path], **options),
    ],
    "rm_file": [lambda fs, path, **options: fs.rm_file(path, **options)],
    "delete": [lambda fs, path, **options: fs.delete(path, **options)],
}
DELETE = {"rm", "rm_file", "delete"}
CASES = [
    pytest.param(name, way, id=f"{name}-{number}") for name, ways in WAYS.items() for number, way in enumerate(ways)
]
MAKING = [case for case in CASES if case.values[0] not in DELETE]
# Methods that write no path and have a message for another reason; the one that is only awaited, see below.
OTHERS = {"make_tag", "squash", "start_transaction", "set_commit_message", "open_async"}


def _mapped(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """The version of one of several paths."""
    return options | ({"if_match": {path: options["if_match"]}} if "if_match" in options else {})


def test_the_table_has_every_method_that_writes() -> None:
    found = set()
    for name in dir(XetFS):
        if name.startswith("_") or not callable(getattr(XetFS, name)):
            continue
        if {"message", "parent_commit", "if_match"} & set(inspect.signature(getattr(XetFS, name)).parameters):
            found.add(name)
    assert found - OTHERS == set(WAYS)
    for name in found - OTHERS:
        parameters = set(inspect.signature(getattr(XetFS, name)).parameters)
        assert {"message", "parent_commit", "if_match"} <= parameters, name
        assert name in DELETE or "mode" in parameters, name


@pytest.fixture
def place(fresh: XetFS, main: str) -> str:
    """A path with a file, and one beside it to copy."""
    fresh.pipe({f"{main}/d/a": b"theirs", f"{main}/d/a.source": OURS, f"{main}/d/b.source": OURS})
    return f"{main}/d/a"


def apply(kind: str, fs: XetFS, way: Way, path: str, **options: Any) -> None:
    """Write in one of the faces that there are."""
    match kind:
        case "plain":
            way(fs, path, **options)
        case "transaction":
            with fs.transaction:
                way(fs, path, **options)
        case "tr.fs":
            with fs.transaction as tr:
                way(tr.fs, path, **options)


@pytest.mark.parametrize("kind", ["plain", "tr.fs"])
@pytest.mark.parametrize(("name", "way"), MAKING)
def test_create(fresh: XetFS, place: str, main: str, kind: str, name: str, way: Way) -> None:
    with pytest.raises(FileExistsError) as caught:
        apply(kind, fresh, way, place, mode="create")
    assert isinstance(caught.value, AlreadyExistsError)
    assert fresh.cat(place) == b"theirs"
    assert fresh.exists(f"{place}.source")
    assert len(messages(fresh, main)) == 1
    new = f"{main}/d/b"
    apply(kind, fresh, way, new, mode="create")
    assert fresh.exists(new)


@pytest.mark.parametrize("kind", ["plain", "transaction"])
@pytest.mark.parametrize(("name", "way"), CASES)
def test_if_match(fresh: XetFS, place: str, main: str, kind: str, name: str, way: Way) -> None:
    version = fresh.info(place)["blob_id"]
    wrong = fresh.info(f"{place}.source")["blob_id"]
    with pytest.raises(EditConflictError, match=f"d/a is not the version {wrong}"):
        apply(kind, fresh, way, place, if_match=wrong)
    assert fresh.cat(place) == b"theirs"
    assert len(messages(fresh, main)) == 1
    apply(kind, fresh, way, place, if_match=version)
    assert not fresh.exists(place) or fresh.cat(place) != b"theirs"
    with pytest.raises((EditConflictError, FileNotFoundError)):
        apply(kind, fresh, way, f"{main}/d/b", if_match=version)
    assert not fresh.exists(f"{main}/d/b")


@pytest.mark.parametrize("kind", ["plain", "tr.fs"])
@pytest.mark.parametrize(("name", "way"), CASES)
def test_parent_commit(fresh: XetFS, place: str, main: str, kind: str, name: str, way: Way) -> None:
    parent = fresh.info(main)["commit"]
    fresh.pipe(place, b"later")
    with pytest.raises(EditConflictError, match=rf"changed since {parent[:10]}: d/a"):
        apply(kind, fresh, way, place, parent_commit=parent)
    assert fresh.cat(place) == b"later"
    assert len(messages(fresh, main)) == 2
    apply(kind, fresh, way, place, parent_commit=fresh.info(main)["commit"])
    assert not fresh.exists(place) or fresh.cat(place) != b"later"


@pytest.mark.parametrize(("name", "way"), CASES)
def test_message(fresh: XetFS, place: str, main: str, name: str, way: Way) -> None:
    for kind in ("plain", "transaction"):
        fresh.pipe({place: b"theirs", f"{place}.source": OURS})
        apply(kind, fresh, way, place, message=f"said {kind}")
        assert messages(fresh, main)[-1] == f"said {kind}"
    fresh.pipe({place: b"theirs", f"{place}.source": OURS})
    apply("plain", fresh, way, place, commit_message="title", commit_description="more")
    assert messages(fresh, main)[-1] == "title\n\nmore"


@pytest.mark.parametrize(("name", "way"), CASES)
def test_a_guard_holds_until_the_commit(fresh: XetFS, other: XetFS, place: str, main: str, name: str, way: Way) -> None:
    version = fresh.info(place)["blob_id"]
    with pytest.raises(EditConflictError), fresh.transaction:  # noqa: PT012  # the end of the block is what raises
        way(fresh, place, if_match=version)
        other.pipe(place, b"between")
    assert fresh.cat(place) == b"between"


@pytest.mark.parametrize(("name", "way"), MAKING)
def test_what_is_made_first_stays(fresh: XetFS, other: XetFS, place: str, main: str, name: str, way: Way) -> None:
    with pytest.raises(FileExistsError), fresh.transaction:  # noqa: PT012
        way(fresh, f"{main}/d/b", mode="create")
        other.pipe(f"{main}/d/b", b"between")
    assert fresh.cat(f"{main}/d/b") == b"between"


@pytest.mark.parametrize(("name", "way"), MAKING)
def test_conditions_that_make_no_sense(fresh: XetFS, place: str, name: str, way: Way) -> None:
    before = fresh.cat(place)
    if name != "open":
        with pytest.raises(ValueError, match="mode='creat'"):
            way(fresh, place, mode="creat")
    with pytest.raises(ConfigError, match="contradict"):
        way(fresh, place, mode="create", if_match="0" * 40)
    with pytest.raises(TypeError, match="if_match"):
        way(fresh, place, if_match=7)
    with pytest.raises(ConfigError, match="if_match is empty"):
        way(fresh, place, if_match="")
    with pytest.raises(ConfigError, match="full commit id"):
        way(fresh, place, parent_commit="main")
    assert fresh.cat(place) == before


def test_versions_by_path(fresh: XetFS, main: str) -> None:
    paths = [f"{main}/{name}" for name in "abc"]
    fresh.pipe(dict.fromkeys(paths, b"1"))
    one = fresh.info(paths[0])["blob_id"]
    with pytest.raises(ConfigError, match=r"if_match names '.*/typo'"):
        fresh.pipe(dict.fromkeys(paths, b"2"), if_match={f"{main}/typo": one})
    with pytest.raises(TypeError, match="if_match"):
        fresh.pipe(dict.fromkeys(paths, b"2"), if_match={paths[0]: cast(Any, None)})
    # In whatever way the path is written.
    fresh.pipe(dict.fromkeys(paths, b"2"), if_match={f"/{paths[0]}/": one, paths[1]: one})
    with pytest.raises(EditConflictError, match="a is not"):
        fresh.rm(paths, if_match={paths[0]: one})
    pointer = fresh.stage(b"3", paths[0])
    two = fresh.info(paths[0])["blob_id"]
    with pytest.raises(ConfigError, match="typo"):
        fresh.commit(main, [pointer], delete=[paths[1]], if_match={f"{main}/typo": two})
    with pytest.raises(EditConflictError):
        fresh.commit(main, [pointer], delete=[paths[1]], if_match={paths[1]: one})
    fresh.commit(main, [pointer], delete=[paths[1]], if_match={paths[1]: two, paths[0]: two})
    assert fresh.cat(main, recursive=True) == {paths[0]: b"3", paths[2]: b"2"}


def test_two_versions_of_one_path(fresh: XetFS, main: str) -> None:
    """Written in two ways; one of the versions would be checked, the other not."""
    path = f"{main}/a"
    fresh.pipe_file(path, b"1")
    version = fresh.info(path)["blob_id"]
    with pytest.raises(ConfigError, match="twice"):
        fresh.pipe({path: b"2"}, if_match={path: "0" * 40, f"xet://{path}": version})
    fresh.pipe({path: b"2"}, if_match={path: version, f"xet://{path}": version})
    assert fresh.cat_file(path) == b"2"


def test_folders_with_guards(fresh: XetFS, main: str, tmp_path: Path) -> None:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "a").write_bytes(b"a")
    (tmp_path / "src" / "deep" / "b").write_bytes(b"b")
    fresh.pipe(f"{main}/to/deep/b", b"theirs")
    source = f"{tmp_path}/src/"
    for call, place in ((fresh.put, source), (fresh.cp, f"{main}/from/"), (fresh.mv, f"{main}/from/")):
        if call != fresh.put:
            fresh.pipe({f"{main}/from/a": b"a", f"{main}/from/deep/b": b"b"})
        with pytest.raises(FileExistsError, match="to/deep/b"):
            call(place, f"{main}/to/", recursive=True, mode="create")
        assert fresh.cat(f"{main}/to", recursive=True) == {f"{main}/to/deep/b": b"theirs"}
    version = fresh.info(f"{main}/to/deep/b")["blob_id"]
    fresh.put(source, f"{main}/to/", recursive=True, if_match={f"{main}/to/deep/b": version})
    assert fresh.cat(f"{main}/to/deep/b") == b"b"
    with pytest.raises(EditConflictError, match="to/deep/b"):
        fresh.rm(f"{main}/to", recursive=True, if_match={f"{main}/to/deep/b": version})
    assert len(fresh.find(f"{main}/to")) == 2


def test_guards_of_many_files_take_few_requests(through: tuple[Any, XetFS], main: str) -> None:
    proxy, fs = through
    fs.pipe({f"{main}/{number}": b"x" for number in range(300)})
    before = proxy.count("POST .*/paths-info/")
    fs.pipe({f"{main}/new/{number}": b"x" for number in range(300)}, mode="create")
    assert proxy.count("POST .*/paths-info/") - before <= 4


def test_a_path_twice_with_create(fresh: XetFS, main: str) -> None:
    with pytest.raises(FileExistsError):
        fresh.put([__file__, __file__], [f"{main}/x", f"{main}/x"], mode="create")
    with pytest.raises(FileExistsError):
        fresh.pipe({f"{main}/x": b"1", f"/{main}/x": b"2"}, mode="create")
    assert not fresh.exists(f"{main}/x")


def test_a_deletion_keeps_the_guard_of_what_was_written(fresh: XetFS, other: XetFS, place: str) -> None:
    version = fresh.info(place)["blob_id"]
    with pytest.raises(EditConflictError), fresh.transaction:  # noqa: PT012
        fresh.pipe(place, b"1", if_match=version)
        fresh.rm(place)
        other.pipe(place, b"between")
    assert fresh.cat(place) == b"between"


def test_messages_of_a_transaction(fresh: XetFS, main: str) -> None:
    with fresh.transaction:
        fresh.pipe(f"{main}/a", b"a", message="first")
        fresh.pipe(f"{main}/b", b"b", message="second")
        fresh.pipe(f"{main}/c", b"c", message="first")
        with fresh.open(f"{main}/d", "w", message="third") as file:
            file.write("d")
    assert messages(fresh, main)[-1] == "first\n\nsecond\n\nthird"
    with fresh.transaction(message="of the transaction"):
        fresh.pipe(f"{main}/a", b"b", message="of the call")
    assert messages(fresh, main)[-1] == "of the transaction"


def test_the_methods_of_a_transaction(fresh: XetFS, place: str, main: str) -> None:
    version = fresh.info(f"{place}.source")["blob_id"]
    calls: list[Callable[[Transaction], Any]] = [
        lambda tr: tr.pipe(place, OURS, if_match=version),
        lambda tr: tr.pipe({place: OURS}, if_match=version),
        lambda tr: tr.put(__file__, place, if_match=version),
        lambda tr: tr.cp(f"{place}.source", place, if_match=version),
        lambda tr: tr.mv(f"{place}.source", place, if_match=version),
        lambda tr: tr.rm(place, if_match=version),
        lambda tr: tr.open(place, "wb", if_match=version),
        lambda tr: tr.open(place, "xb"),
        lambda tr: tr.pipe({place: OURS}, mode="create"),
    ]
    for call in calls:
        with pytest.raises((EditConflictError, AlreadyExistsError)), fresh.transaction as tr:
            call(tr)
    assert fresh.cat(place) == b"theirs"


async def test_asynchronous_calls(shared_endpoint: Any, place: str, main: str) -> None:
    async with pyxet.AsyncXetFileSystem(
        shared_endpoint.url, shared_endpoint.user, shared_endpoint.token, asynchronous=True, listings_expiry_time=0
    ) as fs:
        wrong = (await fs._info(f"{place}.source"))["blob_id"]
        calls = {
            "_pipe": ({place: OURS},),
            "_pipe_file": (place, OURS),
            "_put": (__file__, place),
            "_put_file": (__file__, place),
            "_copy": (f"{place}.source", place),
            "_cp_file": (f"{place}.source", place),
            "_mv": (f"{place}.source", place),
            "_touch": (place,),
            "_rm": (place,),
            "_rm_file": (place,),
            "open_async": (place, "wb"),
        }
        for name, arguments in calls.items():
            with pytest.raises(EditConflictError):
                await getattr(fs, name)(*arguments, if_match=wrong)
            with pytest.raises(EditConflictError):
                async with fs.transaction:
                    await getattr(fs, name)(*arguments, if_match=wrong)
        assert await fs._cat_file(place) == b"theirs"
        for name in ("_pipe", "_put", "_copy", "_mv"):
            with pytest.raises(FileExistsError):
                await getattr(fs, name)(*calls[name], mode="create")
        assert await fs._cat_file(place) == b"theirs"
