"""The layers: who may import whom. Imports are read from the source, those inside functions included."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import pyxet

PACKAGE = Path(pyxet.__file__).parent
ROOT = Path(__file__).parents[1]
BASE = {
    "secrets", "errors", "_docstrings", "options", "config", "urls", "types", "reports", "_version", "_platform", "_platform_files", "local_rules", "_traces", "local_tree", "patterns",
    "_workers", "private_files", "hub_login", "watching", "content_ids", "_shown", "_displays", "_progress",
}  # fmt: skip
ALLOWED: dict[str, set[str]] = {
    "_version": set(),
    "_platform": set(),
    "_platform_files": {"errors"},
    "local_rules": {"errors", "_platform"},
    "_workers": set(),
    "_traces": set(),
    "_shown": set(),
    "content_ids": set(),
    "_displays": {"_shown"},
    "_progress": {"_shown", "_displays"},
    "watching": {"_platform", "_shown"},
    "secrets": set(),
    "types": {"_shown"},
    "local_tree": {"_platform_files"},
    "patterns": set(),
    "_docstrings": set(),
    "options": {"_docstrings"},
    "reports": {"types", "_shown"},
    "errors": {"types", "reports", "_traces"},
    "urls": {"errors", "types"},
    "private_files": {"_platform", "_platform_files"},
    "hub_login": {"private_files", "secrets"},
    "config": {
        "secrets",
        "errors",
        "options",
        "urls",
        "_platform",
        "_platform_files",
        "private_files",
        "hub_login",
        "local_rules",
    },
    "protocol": {"secrets", "errors", "urls", "types", "protocol"},
    "_async": BASE | {"protocol", "_async", "local"},
    "server": {
        "secrets",
        "errors",
        "urls",
        "types",
        "_version",
        "_platform",
        "_platform_files",
        "private_files",
        "protocol",
        "server",
    },
    "local": BASE | {"server"},
    "_faces": BASE | {"_async"},
    "fs": BASE | {"_async", "_faces"},
    "path": BASE | {"fs"},
    "_given": BASE | {"fs", "_async"},
    "account": BASE | {"fs"},
    "_tensors": BASE,
    "safetensors": BASE | {"fs", "_given", "_async", "_tensors"},
    "snapshots": BASE | {"fs", "_given", "_async"},
    "parquet": BASE | {"fs", "_given"},
    "duckdb": BASE | {"fs", "_async"},
    "polars": BASE | {"fs", "_given"},
    "dask": BASE | {"fs", "parquet"},
    "ray": BASE | {"fs", "parquet"},
    "ingestion": BASE | {"_async", "fs", "ingestion"},
    "git": BASE | {"_async", "protocol", "git"},
    "testing": BASE | {"local"},
    "_environment": {"_version", "protocol"},
    "__init__": BASE
    | {
        "fs",
        "snapshots",
        "path",
        "account",
        "parquet",
        "_async",
        "testing",
        "safetensors",
        "ingestion",
        "_environment",
    },
    "__main__": {"cli"},
    "cli": {
        "__init__",
        "cli",
        "git",
        "local",
        "_version",
        "_platform",
        "_platform_files",
        "_workers",
        "errors",
        "local_rules",
        "local_tree",
        "patterns",
        "_traces",
        "content_ids",
        "_shown",
        "_displays",
    },
}
# The rooms of `_async`: each sees those above it, and itself.
ROOMS = (
    "runtime",
    "http",
    "endpoint",
    "tree",
    "download",
    "upload",
    "client",
    "changes",
    "files",
    "fs",
)
# What these name under `if TYPE_CHECKING` is not imported when they run: types of the server, for annotations.
TYPES_OF: dict[str, set[str]] = {"testing": {"server"}, "local": {"server"}}
# Foreign packages that only some parts may touch.
FOREIGN: dict[str, set[str]] = {
    "aiohttp": {
        "_async/http/transport.py",
        "_async/http/arriving.py",
        "_async/http/sessions.py",
        "_async/http/failures.py",
        "_async/http/receiving.py",
        "server/",
    },
    "pygit2": {"server/"},
    "click": {"cli/"},
    "rich": {"cli/", "_displays.py"},
    "blake3": {"protocol/"},
    "lz4": {"protocol/"},
    "numpy": {"protocol/", "_tensors.py"},
    "upath": {"path.py"},
    "fcntl": {"_platform.py"},
    "msvcrt": {"_platform.py"},
    "fsspec": {"_async/", "fs.py", "snapshots.py", "path.py", "polars.py", "_progress.py", "ingestion/", "cli/"},
}
# Lines of a file: one that has more has become two things.
LONGEST_FILE = 500
IMPURE = {"aiohttp", "asyncio", "anyio", "socket", "time", "os", "pathlib", "threading", "random", "subprocess"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(path: Path, *, types: bool = False) -> set[str]:
    """Full dotted names that the file imports; ``from a import b`` counts as ``a.b``.

    With ``types`` those that only type checkers see, else the others.
    """
    tree = ast.parse(path.read_text())
    checked = {id(node) for block in ast.walk(tree) if only_for_types(block) for node in ast.walk(block)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if (id(node) in checked) != types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part_of(relative: Path) -> str:
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def target_part(name: str) -> str:
    pieces = name.split(".")
    if len(pieces) > 1 and ((PACKAGE / pieces[1]).is_dir() or (PACKAGE / f"{pieces[1]}.py").exists()):
        return pieces[1]
    return "__init__"


def inner(names: set[str]) -> set[str]:
    return {target_part(name) for name in names if name.split(".")[0] == "pyxet"}


def graph(folder: Path, prefix: str = "") -> dict[str, set[str]]:
    """Which modules of a folder import which, wherever in their source; a package is its ``__init__``."""
    files = {
        prefix + ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(folder.rglob("*.py"))
    }
    found: dict[str, set[str]] = {}
    for name, path in files.items():
        named = imports(path) | imports(path, types=True)
        # ``from a import b`` names the module a.b, or something in a.
        found[name] = {item if item in files else item.rpartition(".")[0] for item in named} & files.keys()
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or around: the strongly connected parts of the graph (Tarjan)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        open_.append(name)
        for other in sorted(graph[name]):
            if other not in numbers:
                visit(other)
            if other in open_:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == numbers[name]:
            at = open_.index(name)
            part = open_[at:]
            del open_[at:]
            if len(part) > 1 or name in graph[name]:
                found.append(sorted(part))

    for name in graph:
        if name not in numbers:
            visit(name)
    return found


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d", "a"}}) == [["b", "c"], ["d"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("folder", [PACKAGE, ROOT / "benchmarks"], ids=lambda folder: folder.name)
def test_no_two_files_import_each_other(folder: Path) -> None:
    """Neither directly nor around, imports for types and inside functions included."""
    found = graph(folder, "pyxet." if folder == PACKAGE else "")
    assert sum(map(len, found.values())) > len(found) / 2
    assert circles(found) == []


def test_rooms_see_those_above_them() -> None:
    def room(name: str) -> str | None:
        parts = name.split(".")
        return parts[2] if parts[1:2] == ["_async"] and len(parts) > 2 else None

    found = graph(PACKAGE, "pyxet.")
    assert {room(name) for name in found} == {None, *ROOMS}
    below = [
        f"{name} imports {other}"
        for name, others in found.items()
        for other in sorted(others)
        if (here := room(name)) and (there := room(other)) and ROOMS.index(there) > ROOMS.index(here)
    ]
    assert not below


def test_the_rooms_are_those_of_the_documentation() -> None:
    """In the same order, with all files of each."""
    table = {}
    for line in (ROOT / "docs" / "architecture.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 5 and cells[1].startswith("`"):
            table[cells[1].strip("`").removesuffix(".py")] = set(re.findall(r"`(\w+)`", cells[2]))
    assert tuple(table) == ROOMS
    for name, files in table.items():
        there = {path.stem for path in (PACKAGE / "_async" / name).glob("*.py")} - {"__init__"}
        assert files == there, f"docs/architecture.md: the files of {name}/"


def test_no_file_is_too_long() -> None:
    lines = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in modules()}
    assert len(lines) > 100
    assert not {name: count for name, count in lines.items() if count > LONGEST_FILE}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_layers(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    part = part_of(relative)
    names = imports(path)
    reached = inner(names) - {part} - ALLOWED[part]
    assert not reached, f"{relative} reaches into {sorted(reached)}"
    typed = inner(imports(path, types=True)) - {part} - ALLOWED[part] - TYPES_OF.get(part, set())
    assert not typed, f"{relative} takes types from {sorted(typed)}"
    for package, places in FOREIGN.items():
        if any(name.split(".")[0] == package for name in names):
            assert any(str(relative).startswith(place) for place in places), f"{relative} imports {package}"


def test_only_local_imports_the_server_and_only_when_it_is_needed() -> None:
    importers = {
        str(path.relative_to(PACKAGE)) for path in modules() if part_of(path.relative_to(PACKAGE)) != "server"
        and "server" in inner(imports(path))
    }  # fmt: skip
    assert importers == {"local.py"}
    top = ast.parse((PACKAGE / "local.py").read_text()).body
    names = [ast.unparse(node) for node in top if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not any("pyxet.server" in name for name in names)


def parts_of_the_file_system() -> list[type]:
    """Its class and those that it is made of."""
    return [kind for kind in pyxet.AsyncXetFileSystem.__mro__ if kind.__module__.startswith("pyxet.")]


def test_the_parts_of_the_file_system_are_siblings() -> None:
    whole, *parts = parts_of_the_file_system()
    foundations = {kind for part in parts for kind in part.__bases__}
    names = {kind.__name__ for kind in foundations if kind in parts}
    assert names == {"FileSystemBase", "Lookup", "Expanding", "Guarding", "Streaming"}
    assert set(parts) - foundations == set(whole.__bases__)


@pytest.mark.parametrize("kind", parts_of_the_file_system(), ids=lambda kind: kind.__name__)
def test_a_part_of_the_file_system_has_what_it_uses(kind: type) -> None:
    """By itself or what it stands on: fsspec has no types, so a type checker lets any name of ``self`` pass."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    attributes = [
        node for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    ]  # fmt: skip
    own = set(vars(pyxet.XetFS("http://localhost:1", skip_instance_cache=True)))
    used = {node.attr for node in attributes}
    assert not {name for name in used - own if not hasattr(kind, name)}


def test_only_what_commits_alone_have_asks_for_revisions() -> None:
    """All others ask ``client.trees``, which other kinds of places than repositories can answer as well."""
    asking = {
        str(path.relative_to(PACKAGE / "_async"))
        for path in (PACKAGE / "_async").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("revisions", "catalog")
    }
    parts = {f"fs/{name}.py" for name in ("repositories", "history", "listing", "proposing")}
    assert asking == {"client.py", "changes/commit.py", *parts}


@pytest.mark.parametrize("path", sorted((PACKAGE / "protocol").glob("*.py")), ids=lambda path: path.name)
def test_the_protocol_does_no_io(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE


HEAVY = "{'pygit2', 'numpy', 'click', 'rich', 'pandas', 'pyarrow', 'huggingface_hub', 'hf_xet', 'sqlite3'}"


def loaded(code: str, packages: str, folder: Path) -> list[str]:
    """Which of some packages a program has imported at its end."""
    code = f"import sys; {code}; print(*sorted({{name.split('.')[0] for name in sys.modules}} & ({packages})))"
    # Not from a checkout: what is installed has the kernel that keeps numpy out.
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    return answer.stdout.split()


def test_importing_pyxet_leaves_the_heavy_parts_alone(tmp_path: Path) -> None:
    """What is not needed to import must not be: the server, git, numpy, the command line's packages, pandas."""
    assert loaded("import pyxet", HEAVY + " | {'fsspec', 'aiohttp', 'msgspec'}", tmp_path) == []
    code = "import pyxet; pyxet.XetFS; pyxet.testing; assert 'pyxet.server' not in sys.modules"
    assert loaded(code, HEAVY, tmp_path) == []


def test_public_names_are_where_the_table_says() -> None:
    """The names of `__all__`, those that type checkers see, and those that are imported late are the same."""
    seen: dict[str, str] = {}
    for name in imports(PACKAGE / "__init__.py", types=True):
        module, _, last = name.rpartition(".")
        seen[last] = module
    assert seen == pyxet._HOMES | pyxet._OPTIONAL | dict.fromkeys(pyxet._MODULES, "pyxet")
    names = seen.keys() - pyxet._OPTIONAL.keys()
    assert sorted(pyxet.__all__) == sorted({*names, *pyxet.errors.__all__, "open", "__version__"})
    assert len(pyxet.__all__) == len(set(pyxet.__all__))
    star: dict[str, object] = {}
    exec("from pyxet import *", star)
    for name in pyxet.__all__:
        assert star[name] is getattr(pyxet, name)
        assert name in dir(pyxet)
    assert pyxet.XetFS is pyxet.fs.XetFS
    with pytest.raises(AttributeError, match="no_such_name"):
        pyxet.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def test_an_old_python_is_told_which_one_is_needed(tmp_path: Path) -> None:
    code = "import sys; sys.version_info = (3, 10, 13, 'final', 0); import pyxet"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    *_, last = answer.stderr.splitlines()
    assert last.startswith("ImportError: pyxet needs Python 3.11 or later; this is Python 3.10.13 (")
    assert sys.executable in last
    # What stands above that check is known to every Python 3.
    head = (PACKAGE / "__init__.py").read_text().partition("if sys.version_info")[0]
    assert re.findall("^(?:import|from) .*", head, re.MULTILINE) == ["from __future__ import annotations", "import sys"]


def test_a_name_that_needs_an_extra_says_which(tmp_path: Path) -> None:
    code = "import sys; sys.modules['upath'] = None; from pyxet import *; import pyxet; print('there'); pyxet.XetPath"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert answer.stdout == "there\n"
    assert "pip install 'pyxet[path]'" in answer.stderr.splitlines()[-1]


def test_the_modules_of_the_command_line_import_little(tmp_path: Path) -> None:
    """What a command needs of pyxet and of others is imported when it runs."""
    code = "; ".join(f"import pyxet.cli.{path.stem}" for path in (PACKAGE / "cli").glob("*.py"))
    assert loaded(code, "{'fsspec', 'aiohttp', 'rich', 'numpy', 'pygit2'}", tmp_path) == []
    for words in ("version", "--help"):
        code = f"import pyxet.cli; assert pyxet.cli.run(['{words}']) == 0"
        *_, last = loaded(code + "; print()", "{'asyncio', 'fsspec', 'aiohttp', 'rich', 'sys'}", tmp_path)
        assert last == "sys", f"xet {words}"
