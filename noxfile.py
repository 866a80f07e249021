"""Development tasks. ``nox`` alone runs what CI runs: lint, types, then the tests."""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "tests"]
nox.options.default_venv_backend = "virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")


SCHEMAS = {
    "github-workflows": sorted(Path(".github/workflows").glob("*.yml")),
    "dependabot": [Path(".github/dependabot.yml")],
    "github-issue-forms": [Path(".github/ISSUE_TEMPLATE/bug.yml"), Path(".github/ISSUE_TEMPLATE/wish.yml")],
    "github-issue-config": [Path(".github/ISSUE_TEMPLATE/config.yml")],
    "citation-file-format": [Path("CITATION.cff")],
    "readthedocs": [Path(".readthedocs.yaml")],
}


def groups(*names: str) -> list[str]:
    """The packages of the dependency groups of pyproject.toml."""
    return list(nox.project.dependency_groups(PROJECT, *names))


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting, lint, strict types, and the types that a user's program sees."""
    extras = PROJECT["project"]["optional-dependencies"]
    session.install(*groups("lint", "test"), *PROJECT["project"]["dependencies"], *extras["local"], *extras["path"])
    session.run("ruff", "format", "--check")
    session.run("ruff", "check")
    session.run("mypy")
    for platform in ("darwin", "win32"):
        session.run("mypy", "--platform", platform, "pyxet")
    session.run("mypy", "--config-file", "tests/mypy.ini")
    session.run("mypy", "--config-file", "tests/typing/mypy.ini")
    session.run("basedpyright", "-p", "tests/typing")
    for schema, files in SCHEMAS.items():
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, files), silent=True)
    session.run("zizmor", "--offline", "--quiet", ".github")


# Tests read and write their own files as UTF-8 on all platforms. pyxet itself names the encoding of each file, which
# tests/runtime/test_pretended_windows.py checks without this variable.
UTF8 = {"PYTHONUTF8": "1"}


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, against pyxet as it is installed. Arguments after ``--`` go to pytest."""
    session.install(".[local,path]", *groups("test"))
    # Tests wait for servers and processes half of the time, so use one worker more than the two cores of CI.
    session.run("pytest", *(session.posargs or ["-q", "-n", "3", "--dist", "loadfile"]), env=UTF8)


@nox.session
def pretended(session: nox.Session) -> None:
    """The tests on a simulated Windows: collect all of them, or run those that are given after ``--``."""
    session.install(".[local,path]", *groups("test"))
    session.run(
        "pytest", "-p", "support.as_windows", "--timeout-method", "thread", "-q", *(session.posargs or ["--collect-only", "-qq"]),
        env={"PYTHONPATH": "tests"},
    )  # fmt: skip


@nox.session(python=["3.11", "3.12", "3.13"])
def pythons(session: nox.Session) -> None:
    """The tests on each supported Python that is found here."""
    tests(session)


@nox.session
def coverage(session: nox.Session) -> None:
    """The tests with branch coverage."""
    session.install("-e", ".[local,path]", *groups("test"))
    session.run("coverage", "run", "-m", "pytest", "-q", *session.posargs)
    session.run("coverage", "report", "--skip-covered", "--show-missing")


@nox.session
def lowest(session: nox.Session) -> None:
    """The tests with the lowest versions of the direct dependencies that pyproject.toml allows, and of its extras."""
    extras = PROJECT["project"]["optional-dependencies"]
    session.install(".[local,path]", *groups("test"))
    lowest = [*PROJECT["project"]["dependencies"], *extras["local"], *extras["path"]]
    session.install(*(name.replace(">=", "==") for name in lowest))
    # fsspec's own test suites of that age do not run under today's pytest, and the page of the command is made with a newer
    # click, whose texts differ.
    words = "tests/cli/test_cli_docs.py::test_the_page_is_what_the_commands_say"
    left_out = ["--ignore", "tests/fs/test_fsspec_suite.py", "--deselect", words]
    session.run("pytest", "-q", *left_out, *session.posargs)


@nox.session
def uvloop(session: nox.Session) -> None:
    """The tests that are coroutines, on the event loop of uvloop. Arguments after ``--`` go to pytest."""
    session.install(".[local,path]", *groups("test", "uvloop"))
    arguments = session.posargs or ["-q", "-n", "2", "--dist", "loadfile"]
    # pytest imports the plugin before it puts the folder of the tests on the path.
    session.run("pytest", "-p", "support.on_uvloop", *arguments, env={"PYTHONPATH": "tests"})


@nox.session
def integrations(session: nox.Session) -> None:
    """The tests with the tools that users work in: polars, duckdb, dask, ray, zarr, PyTorch and others."""
    session.install(".[local]", *groups("test", "integrations"))
    session.run("pytest", *(session.posargs or ["-q", "-n", "2", "--dist", "loadfile"]), "tests/integrations")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation in docs/_build/html: warnings are errors, links and anchors must exist, notebooks are run."""
    session.install(".[local,path]", *groups("docs"))
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html")
    session.run("python", "docs/check_site.py", "docs/_build/html")


@nox.session
def newest(session: nox.Session, *more: str) -> None:
    """The tests with the newest versions of everything that is installed for them."""
    session.install("-U", "--upgrade-strategy", "eager", ".[local,path]", *groups("test"))
    if more:
        session.install("-U", "--pre", *more)
    session.run("pytest", *(session.posargs or ["-q", "-n", "3", "--dist", "loadfile"]))


@nox.session
def prereleases(session: nox.Session) -> None:
    """The tests with pre-releases of the Hub's own clients."""
    newest(session, "huggingface_hub", "hf-xet")


@nox.session
def changes(session: nox.Session) -> None:
    """Check that a change which users notice has its entry in changes/. Another branch to compare with goes after ``--``."""
    session.install(*groups("changes"))
    session.run("towncrier", "check", "--compare-with", *(session.posargs or ["origin/main"]))
    session.run("towncrier", "build", "--draft", "--version", "next")


@nox.session
def sdist(session: nox.Session) -> None:
    """The source distribution, into dist/."""
    session.install(*groups("packaging"))
    session.run("python", "-m", "build", "--no-isolation", "--sdist")


@nox.session
def wheels(session: nox.Session) -> None:
    """The wheels for this platform, into dist/, repaired and tried; on Linux in containers of docker."""
    session.install(*groups("wheels"))
    session.run("python", "-m", "cibuildwheel", "--output-dir", "dist")


@nox.session
def packaging(session: nox.Session) -> None:
    """The published packages: build, check and repair them, and install them in each supported Python that is found here."""
    session.install(*groups("packaging"))
    session.run("pytest", "-q", *session.posargs, "tests/packaging")


@nox.session
def soak(session: nox.Session) -> None:
    """Upload and download a 1 GiB file, and check the peak memory of the client."""
    session.install(".[local,path]", *groups("test"))
    session.run("pytest", "-q", "-s", "--timeout", "1800", "-m", "soak", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Timings compared with other clients, as ratios of interleaved runs."""
    session.install(".[local,path]", *groups("test"))
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session
def bench_once(session: nox.Session) -> None:
    """Run each benchmark once with small sizes, to check that it works; the figures mean nothing."""
    session.install(".[local,path]", *groups("test"))
    session.run("python", "benchmarks/run.py", "--quick", "--pairs", "1", "--data", session.create_tmp())
    session.run("python", "benchmarks/hops.py")
