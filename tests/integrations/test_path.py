"""`XetPath` beside `pathlib.Path`: the same calls on the same tree, and what is different on purpose."""

from __future__ import annotations

import copy
import os
import pickle
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from support.accounts import account_of
from support.proxied import proxied
from upath import UnsupportedOperation, UPath

import pyxet
from pyxet import XetPath
from pyxet.errors import AlreadyExistsError, NotFoundError, NotSupportedError, XetURLError
from pyxet.testing import LocalEndpoint

TREE = {
    "a.txt": b"first\nsecond\n",
    "b.txt": "na\u00efve".encode(),
    "data.tar.gz": bytes(range(256)) * 40,
    "folder/c.txt": b"c",
    "folder/d.csv": b"1,2",
    "folder/deep/e.txt": b"e",
    "other/f.txt": b"f",
}


@pytest.fixture
def here(xet: pyxet.XetFS, main: str) -> XetPath:
    """A folder in a repository with the tree in it."""
    xet.pipe({f"{main}/top/{name}": content for name, content in TREE.items()})
    access = account_of(xet)
    return XetPath(f"xet://{main}/top", **access)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A local folder with the same tree."""
    for name, content in TREE.items():
        path = tmp_path / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "top"


def outcome(call: Callable[[Any], Any], top: Any) -> Any:
    """What a call gives: paths as names from the top on, what comes in any order sorted, an error as its type."""

    def plain(value: Any) -> Any:
        if isinstance(value, (UPath, Path)):
            text = str(value)
            return "TOP" + text.removeprefix(str(top)) if text.startswith(str(top)) else text
        if isinstance(value, (set, Iterator)):
            return sorted(map(plain, value))
        return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    try:
        return plain(call(top))
    except OSError as error:
        return next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")


def files(top: Any) -> set[str]:
    return {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}


QUESTIONS: list[Callable[[Any], Any]] = [
    lambda p: p / "folder" / "c.txt",
    lambda p: p.joinpath("folder", "deep", "e.txt"),
    lambda p: p / "folder" / "",
    lambda p: (p / "folder/").name,
    lambda p: (p / "a.txt").parent,
    lambda p: list((p / "folder/deep/e.txt").parents)[:3],
    lambda p: [getattr(p / "data.tar.gz", name) for name in ("name", "stem", "suffix", "suffixes")],
    lambda p: (p / "data.tar.gz").with_suffix(".zip"),
    lambda p: (p / "data.tar.gz").with_name("x"),
    lambda p: (p / "a.txt").with_stem("z"),
    lambda p: str((p / "folder/deep/e.txt").relative_to(p)),
    lambda p: (p / "folder").is_relative_to(p),
    lambda p: p.is_relative_to(p / "folder"),
    lambda p: p.is_absolute(),
    lambda p: (p / "folder" / ".." / "a.txt").resolve(),
    lambda p: (p / "folder/c.txt").parts[-3:],
    lambda p: sorted([p / "b", p / "a"]),
    lambda p: len({p / "a", p / "a", p / "b"}),
    lambda p: p.iterdir(),
    lambda p: (p / "folder").iterdir(),
    lambda p: (p / "folder/").iterdir(),
    lambda p: list((p / "nope").iterdir()),
    lambda p: list((p / "a.txt").iterdir()),
    lambda p: p.glob("*.txt"),
    lambda p: p.glob("*"),
    lambda p: p.glob("**/*.txt"),
    lambda p: p.glob("*/deep/*"),
    lambda p: p.glob("nope/*"),
    lambda p: p.rglob("*.txt"),
    lambda p: files(p),
    lambda p: [path.exists() for path in (p, p / "a.txt", p / "folder", p / "nope", p / "nope/x")],
    lambda p: [path.is_file() for path in (p, p / "a.txt", p / "nope")],
    lambda p: [path.is_dir() for path in (p, p / "folder/deep", p / "a.txt", p / "nope")],
    lambda p: [p.is_symlink(), p.is_mount(), p.is_socket(), p.is_fifo(), p.is_block_device(), p.is_char_device()],
    lambda p: [(p / name).stat().st_size for name in TREE],
    lambda p: [stat.S_IFMT(path.stat().st_mode) for path in (p, p / "folder", p / "a.txt")],
    lambda p: (p / "nope").stat(),
    lambda p: (p / "a.txt").samefile(p / "a.txt"),
    lambda p: (p / "a.txt").samefile(p / "b.txt"),
    lambda p: (p / "a.txt").read_text(),
    lambda p: (p / "b.txt").read_text(encoding="utf-8"),
    lambda p: (p / "b.txt").read_text(encoding="ascii", errors="replace"),
    lambda p: (p / "data.tar.gz").read_bytes(),
    lambda p: (p / "folder").read_bytes(),
    lambda p: (p / "nope").read_text(),
    lambda p: (p / "a.txt").open().readlines(),
    lambda p: (p / "a.txt").open("rb").read(3),
    lambda p: (p / "a.txt").open(buffering=-1).readline(),
    lambda p: (p / "nope").open(),
]

CHANGES: list[Callable[[Any], Any]] = [
    lambda p: (p / "new.bin").write_bytes(b"12345"),
    lambda p: (p / "a.txt").write_bytes(memoryview(b"12")),
    lambda p: (p / "new/er/x.txt").write_text("caf\u00e9", encoding="utf-8") if (p / "new/er").mkdir(parents=True) or 1 else 0,
    lambda p: (p / "a.txt").open("x"),
    lambda p: (p / "empty").touch(),
    lambda p: (p / "a.txt").touch(),
    lambda p: (p / "a.txt").touch(exist_ok=False),
    lambda p: (p / "a.txt").unlink(),
    lambda p: (p / "nope").unlink(),
    lambda p: (p / "nope").unlink(missing_ok=True),
    lambda p: (p / "folder").unlink(),
    lambda p: (p / "a.txt").rename(p / "z.txt"),
    lambda p: (p / "a.txt").rename(p / "a.txt"),
    lambda p: (p / "a.txt").rename(str(p / "folder" / "c.txt")),
    lambda p: (p / "a.txt").replace(p / "b.txt"),
    lambda p: (p / "a.txt").rename(p / "folder"),
    lambda p: (p / "folder").rename(p / "moved"),
    lambda p: (p / "folder").rename(p / "a.txt"),
    lambda p: (p / "folder").rename(p / "other"),
    lambda p: (p / "nope").rename(p / "x"),
    lambda p: (p / "folder").mkdir(),
    lambda p: (p / "folder").mkdir(exist_ok=True),
    lambda p: (p / "a.txt").mkdir(exist_ok=True),
    lambda p: (p / "folder").mkdir(parents=True),
    lambda p: (p / "folder").mkdir(parents=True, exist_ok=True),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of the local file system, in the table
def test_questions(here: XetPath, there: Path) -> None:
    for number, call in enumerate(QUESTIONS):
        assert outcome(call, here) == outcome(call, there), f"question {number}"


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_changes(here: XetPath, there: Path, number: int) -> None:
    commits = here.fs.log(str(here.parent))
    assert outcome(CHANGES[number], here) == outcome(CHANGES[number], there)
    assert files(here) == files(there)
    assert all((here / name).read_bytes() == (there / name).read_bytes() for name in files(there))
    # Each change is one commit, and what is refused is none.
    assert len(here.fs.log(str(here.parent))) - len(commits) <= 1


def test_walk(here: XetPath, there: Path) -> None:
    def walked(top: Any, pairs: Any) -> list[tuple[str, list[str], list[str]]]:
        return [
            (os.path.relpath(str(path), str(top)), sorted(folders), sorted(names)) for path, folders, names in pairs
        ]

    assert sorted(walked(here, here.walk())) == sorted(walked(there, os.walk(there)))
    last, _, _ = list(here.walk(top_down=False))[-1]
    assert last == here
    errors: list[Exception] = []
    assert list((here / "nope").walk(on_error=errors.append)) == []
    assert [type(error) for error in errors] == [NotFoundError]
    for path, folders, _ in here.walk():
        if path == here:
            folders.remove("folder")
        assert "folder" not in str(path.relative_to(here))


def test_what_paths_of_universal_pathlib_do(here: XetPath, tmp_path: Path) -> None:
    assert pickle.loads(pickle.dumps(here / "a.txt")) == here / "a.txt" == copy.copy(here / "a.txt")
    assert UPath(here) == UPath(here.as_uri(), **here.storage_options) == here
    assert type(UPath(str(here))) is XetPath
    assert hash(XetPath(here.path)) == hash(here)
    assert XetPath(here.path) != here
    assert here.fs.storage_options == here.storage_options
    assert fsspec.filesystem(here.protocol, **here.storage_options) is here.fs
    assert (here / "a.txt").open("rb", block_size=4).read() == TREE["a.txt"]
    for call in (here.cwd, here.home, here.readlink, here.owner, here.group, lambda: here.chmod(0o600)):
        with pytest.raises(UnsupportedOperation):
            call()
    with pytest.warns(UserWarning, match="no links"):
        assert here.lstat() == here.stat()
    (here / "a.txt").copy(UPath(tmp_path / "got.txt"))
    assert (tmp_path / "got.txt").read_bytes() == TREE["a.txt"]
    (here / "folder").copy_into(tmp_path)
    assert (tmp_path / "folder" / "deep" / "e.txt").read_bytes() == b"e"
    UPath(tmp_path / "folder").copy(here / "back")
    assert (here / "back" / "deep" / "e.txt").read_bytes() == b"e"
    (here / "a.txt").move(UPath(tmp_path / "moved.txt"))
    assert not (here / "a.txt").exists()
    assert (tmp_path / "moved.txt").read_bytes() == TREE["a.txt"]
    # universal_pathlib's `rmdir` deletes what is in the folder, unless told otherwise.
    with pytest.raises(OSError, match="not empty"):
        (here / "folder").rmdir(recursive=False)
    with pytest.raises(NotADirectoryError):
        (here / "b.txt").rmdir()
    (here / "folder").rmdir()
    assert not (here / "folder").exists()


def test_above_a_branch(here: XetPath) -> None:
    branch = here.parent
    repo = branch.parent
    assert [path.name for path in repo.iterdir()] == ["main"]
    assert repo.name in [path.name for path in repo.parent.iterdir()]
    assert [path.path for path in repo.parent.parent.iterdir()] == ["acme"]
    assert (repo.parent.parent / "acme") == repo.parent
    assert (branch.is_dir(), branch.name) == (True, "main")
    assert stat.S_ISDIR(repo.stat().st_mode)
    for call in (branch.unlink, branch.rmdir):
        with pytest.raises(NotSupportedError, match="delete_branch"):
            call()
    here.fs.make_branch(repo.path, "main", "a/b")
    assert sorted(path.name for path in repo.iterdir()) == ["a%2Fb", "main"]
    assert (repo / "a%2Fb" / "top" / "a.txt").read_bytes() == TREE["a.txt"]


def test_times(here: XetPath) -> None:
    assert abs((here / "a.txt").stat().st_mtime - time.time()) < 300


def test_names_with_characters_of_patterns(here: XetPath) -> None:
    for name in ("x[1]", "x1", "y*", "yz"):
        (here / name).write_text(name)
    (here / "x[1]").rename(here / "moved")
    (here / "y*").unlink()
    (here / "a[b]" / "c").write_text("c")
    (here / "a[b]").rename(here / "folder" / "*")
    assert files(here) == {*TREE, "x1", "yz", "moved", "folder/*/c"}
    (here / "folder" / "*").rmdir()
    assert files(here) == {*TREE, "x1", "yz", "moved"}


@pytest.mark.parametrize("name", ["[d]", "*", "x?", "[!d]", "]["])
@pytest.mark.parametrize("pattern", ["*", "*.txt", "**/*.txt", "below/*", "[c]*"])
def test_patterns_below_a_folder_with_characters_of_patterns(
    here: XetPath, there: Path, name: str, pattern: str
) -> None:  # fmt: skip
    below = ("c.txt", "d.csv", "below/e.txt")
    here.fs.pipe({f"{here.path}/{folder}/{file}": b"\0" for folder in (name, "d", "xy") for file in below})
    for folder in (name, "d", "xy"):
        for file in below:
            (there / folder / file).parent.mkdir(parents=True, exist_ok=True)
            (there / folder / file).touch()
    for how in (lambda top: (top / name).glob(pattern), lambda top: (top / name).rglob(pattern)):
        assert outcome(how, here) == outcome(how, there) != []


def test_copies_and_moves_of_folders_are_one_commit(here: XetPath, there: Path) -> None:
    def commits() -> int:
        return len(here.fs.log(here.parent.path))

    before = commits()
    UPath(there).copy(here / "from-disk")
    assert files(here / "from-disk") == set(TREE)
    (here / "from-disk").copy(here / "copied")
    assert (here / "copied/data.tar.gz").stat().as_info()["blob_id"] == (here / "data.tar.gz").stat().as_info()[
        "blob_id"
    ]
    (here / "copied").move(here / "moved")
    (here / "moved").move_into(here / "folder")
    (here / "folder" / "moved").rmdir()
    assert commits() == before + 5
    assert files(here) == {*TREE, *(f"from-disk/{name}" for name in TREE)}
    (here / "from-disk").move(there / "back")
    assert not (here / "from-disk").exists()
    assert files(there / "back") == set(TREE)
    with here.fs.transaction:
        UPath(there / "folder").copy(here / "x")
        UPath(there / "folder").copy(here / "y")
    assert commits() == before + 7


def test_what_is_not_there_is_not_copied(here: XetPath, there: Path) -> None:
    """It is an error, and not a copy of nothing."""
    calls: list[Callable[[], Any]] = [
        lambda: (here / "nope").copy(here / "copied"),
        lambda: (here / "nope").copy_into(here / "folder"),
        lambda: (here / "nope").move(here / "moved"),
        lambda: (here / "nope").copy(UPath(there / "copied")),
        lambda: UPath(there / "nope").copy(here / "copied"),
    ]
    for call in calls:
        with pytest.raises(FileNotFoundError):
            call()


def test_many_changes_in_one_commit(here: XetPath) -> None:
    branch = here.parent.path
    before = len(here.fs.log(branch))
    with here.fs.transaction(message="by paths"):
        (here / "one").write_text("1")
        (here / "folder").rename(here / "moved")
        (here / "moved" / "c.txt").unlink()
        assert not (here / "folder").exists()
        assert (here / "one").read_text() == "1"
        assert (here / "one").stat().st_size == 1
        assert not XetPath(here.path, endpoint=here.fs.endpoint, token="").joinpath("one").exists()
    assert len(here.fs.log(branch)) == before + 1
    assert files(here / "moved") == {"d.csv", "deep/e.txt"}


def test_moves_of_names_without_a_scheme(here: XetPath) -> None:
    source = here / "a.txt"
    for target in ("z.txt", "folder/z.txt", Path("z.txt"), UPath("z.txt"), (here / "z.txt").relative_to(here)):
        with pytest.raises(UnsupportedOperation):
            source.rename(target)
    with pytest.raises(TypeError, match="recursive"):
        source.rename(here / "z.txt", recursive=True)
    with pytest.raises(XetURLError, match="another endpoint"):
        source.rename("xet://elsewhere.example:acme/x/main/z.txt")
    assert source.rename(f"{here.path}/y.txt") == here / "y.txt"
    assert (here / "y.txt").rename(Path(f"{here.path}/z.txt")).read_bytes() == TREE["a.txt"]


def test_a_file_that_somebody_else_made_first(here: XetPath) -> None:
    file = (here / "raced").open("x")
    (here / "raced").write_text("theirs")
    file.write("ours")
    with pytest.raises(AlreadyExistsError):
        file.close()
    assert (here / "raced").read_text() == "theirs"


# -- endpoints ---------------------------------------------------------------------------------------------------------


def test_an_endpoint_in_the_url_is_kept(shared_endpoint: LocalEndpoint, here: XetPath) -> None:
    place = shared_endpoint.url.removeprefix("http://")
    path = XetPath(f"xet://{place}:{here.path}", user="acme", token=shared_endpoint.token)
    assert path.path == here.path
    assert path.storage_options["endpoint"] == place
    assert str(path / "a.txt") == f"xet://{place}:{here.path}/a.txt" == path.joinpath("a.txt").as_uri()
    for found in (path / "a.txt", path.parent / "top/a.txt", next(path.glob("a.*")), pickle.loads(pickle.dumps(path)) / "a.txt"):  # fmt: skip
        assert found.read_bytes() == TREE["a.txt"]
        assert str(found).startswith(f"xet://{place}:")
    assert {str(child) for child in path.iterdir()} == {str(child) for child in here.iterdir()}
    assert str(path.relative_to(path.parent)) == "top"
    # Handed to others as text.
    assert fsspec.open(str(path / "a.txt"), token=shared_endpoint.token).open().read() == TREE["a.txt"]
    assert str(XetPath(here.path)) == f"xet://{here.path}"
    for default in ("huggingface.co", "local", "file:///data"):
        assert str(XetPath(here.path, endpoint=default)) == f"xet://{here.path}"


def test_urls_of_another_endpoint(here: XetPath) -> None:
    with pytest.raises(XetURLError, match="another endpoint"):
        XetPath("xet://elsewhere.example:acme/x/main", endpoint="hub.example")
    assert XetPath("xet://hub.example:acme/x/main", endpoint="https://hub.example").fs.endpoint == "https://hub.example"
    with pytest.raises(TypeError, match="incompatible"):
        XetPath("s3://bucket/key")


def test_bad_paths(here: XetPath) -> None:
    for path in (here / ".." / ".." / "x", here / "a//b", XetPath("xet://a b/c/main/x", **here.storage_options)):
        with pytest.raises(XetURLError):
            path.exists()
    with pytest.raises(OSError, match="is a folder"):
        (here / "folder").write_bytes(b"")
    with pytest.raises(NotFoundError):
        (here.parent.parent / "nope" / "x").write_text("x")


# -- universal_pathlib keeps what it first takes for the rules of a scheme ----------------------------------------------

FIRST = {
    "the entry point": "from upath import UPath; path = UPath(URL)",
    "the class": "from pyxet import XetPath; path = XetPath(URL)",
    "rules without us": """
import warnings
from upath._flavour import WrappedFileSystemFlavour
with warnings.catch_warnings(action="ignore"):
    assert "AnyProtocol" in repr(WrappedFileSystemFlavour.from_protocol("xet"))
from upath import UPath; path = UPath(URL)
""",
    "a chain before": """
import warnings
from upath import UPath
with warnings.catch_warnings(action="ignore"):
    UPath("simplecache::xet://acme/titanic/main/x.csv")
path = UPath(URL)
""",
}


@pytest.mark.parametrize("how", FIRST)
def test_the_first_path_of_a_process(how: str) -> None:
    code = f"""
URL = "xet://localhost:8787:acme/titanic/main/x.csv"
{FIRST[how]}
assert type(path).__name__ == "XetPath", type(path)
assert path.path == "acme/titanic/main/x.csv", path.path
assert str(path / "y") == URL + "/y", str(path / "y")
assert path.parent.parts[-1] == "main"
assert path.fs.endpoint == "http://localhost:8787"
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


# -- requests ----------------------------------------------------------------------------------------------------------


def test_requests(shared_endpoint: LocalEndpoint, here: XetPath) -> None:
    with proxied(shared_endpoint) as (proxy, fs):
        path = XetPath(here.path, endpoint=fs.endpoint, user="acme", token=shared_endpoint.token)

        def count(call: Callable[[], object]) -> int:
            path.fs.invalidate_cache()
            path.fs.ls(path.parent.parent.path)
            proxy.clear()
            call()
            return len(proxy.seen)

        assert count(lambda: (path / "a.txt").exists()) == 1
        assert count(lambda: list(path.iterdir())) <= 2
        assert count(lambda: list(path.walk())) <= 3
        # The token for content, which may be needed, is asked for beside the look: once for the repository.
        assert count(lambda: (path / "a.txt").read_bytes()) <= 3
        assert count(lambda: (path / "a.txt").read_bytes()) <= 2
        assert count(lambda: (path / "nope").unlink(missing_ok=True)) == 1


# -- chains and the page -----------------------------------------------------------------------------------------------


def test_a_chain(here: XetPath) -> None:
    access = dict(here.storage_options)
    cached = UPath(f"simplecache::xet://{here.path}/a.txt", xet=access)
    assert cached.read_bytes() == TREE["a.txt"]
