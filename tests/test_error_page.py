"""The page of errors, which is made of the messages that people get: each class of error, each likely mistake, provoked.

``XET_WRITE_PAGE=1 pytest tests/test_error_page.py`` writes it anew.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fsspec.implementations.local import LocalFileSystem
from support.cli import Cli
from support.faults import FAST, FaultProxy
from support.mistakes import CLASSES, COMMANDS, PANDAS, PYTHON, Mistake
from support.windows import pretended

import pyxet
from pyxet import errors
from pyxet.testing import LocalEndpoint, local_endpoint

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"
HOST = "localhost:8787"
INTRODUCTION = """\
# Errors

What people see: each class of error and each likely mistake, with the message that it has. The page is made by a test
that provokes all of them (`tests/test_error_page.py`). In the examples `fs` is a `pyxet.XetFS` on the endpoint
`localhost:8787`, `anonymous` is one without a token, `mistaken` one with a wrong token, `hurried` one with short time-outs,
and `far` one whose endpoint does not answer; `with windows()` stands for being on Windows.

Everything that means "it is not there" is a `FileNotFoundError`, and nothing else is. These are met most often;
[the reference](api/errors.md) has the whole tree:

| error | also a | means |
|---|---|---|
| `RepositoryNotFoundError`, `RevisionNotFoundError`, `EntryNotFoundError` | `FileNotFoundError` | not there, or not visible to this token |
| `AuthenticationError`, `AccessDeniedError` | `PermissionError` | no token or a wrong one; one that may not |
| `AlreadyExistsError` | `FileExistsError`, `ConflictError` | it is there |
| `EditConflictError` | `ConflictError` | a path changed since the version you build on |
| `FolderInTheWayError`, `FileInTheWayError` | `IsADirectoryError`, `NotADirectoryError` | a folder is where a file should be; a file is where a folder should be |
| `IntegrityError` | `OSError` | content is not what its hash says |
| `LocalNameError`, `FileInUseError` | `OSError`, `PermissionError` | a local file cannot have this name here; another program has it open (on Windows) |
| `RateLimitedError`, `ServerError`, `RequestTimeoutError` (of a commit `CommitTimeoutError`), `ConnectionFailedError` | `OSError` | the endpoint, after retries |
| `XetURLError`, `ConfigError` | `ValueError` | a path, URL or option that makes no sense |
| `TransactionError` | `RuntimeError` | a transaction that is used after its end, or ended before one that is nested in it |

Tracebacks show the caller's code; those of pyxet's own frames and of sockets are left out, unless the logger `pyxet` lets
debug messages through (`logging.getLogger("pyxet").setLevel("DEBUG")`, or `xet --debug`). A request that is tried again
for more than two seconds is a warning of the logger `pyxet.requests`. `pyxet.login` asks the endpoint whom the token belongs to;
`check=False` leaves that out. A token that is refused is looked for again where it came from, so a file system outlives a new
login: [tokens](hub.md#tokens).
"""


class Stage:
    """Where the mistakes are made: an endpoint with some repositories, a proxy in front of it, and file systems."""

    def __init__(self, endpoint: LocalEndpoint, proxy: FaultProxy, tmp: Path) -> None:
        self.endpoint, self.proxy = endpoint, proxy
        user, token = endpoint.user, endpoint.token
        fs = pyxet.XetFS(endpoint.url, user, token)
        fs.make_repo("acme/titanic")
        fs.pipe({"acme/titanic/main/titanic.csv": b"Name,Age\n", "acme/titanic/main/data/a.csv": b"1,2\n"})
        parents = fs.log("acme/titanic/main", limit=1)[0].parents
        assert parents
        first = parents[0]
        fs.pipe_file("acme/titanic/main/model.bin", os.urandom(100_000))
        fs.make_branch("acme/titanic", "main", "experiment-1")
        fs.make_tag("acme/titanic", "v1", "main")
        fs.make_repo("datasets/acme/corpus")
        fs.pipe_file("datasets/acme/corpus/main/a.csv", b"1\n")
        fs.make_repo("acme/private", private=True)
        (tmp / "source").mkdir()
        (tmp / "source" / "a.bin").write_bytes(os.urandom(1000))

        def through(token: str, **options: Any) -> pyxet.XetFS:
            return pyxet.XetFS(proxy.url, token=token, retry=FAST, listings_expiry_time=0, **options)

        class Broken(LocalFileSystem):
            def _open(self, path: str, *args: Any, **kwargs: Any) -> Any:
                raise OSError("the disk does not answer")

        short = pyxet.Timeouts(connect=0.5, response=0.2)
        self.names: dict[str, Any] = {
            "pyxet": pyxet, "pd": pd, "tmp": tmp, "windows": pretended, "first": first, "token": token,
            "access": {"user": user, "token": token}, "frame": pd.DataFrame({"a": [1]}),
            "fs": through(token, user=user), "anonymous": through(""), "mistaken": through("xet_wrong"),
            "source": str(tmp / "source"), "broken": Broken(skip_instance_cache=True), "hurried": through(token, timeouts=short),
            "far": pyxet.XetFS("http://127.0.0.1:9", token=token, retry=FAST),
        }  # fmt: skip

    @property
    def host(self) -> str:
        return self.proxy.url.removeprefix("http://")

    def plain(self, text: str) -> str:
        """A message without what differs from run to run."""
        for url in (self.proxy.url, self.endpoint.url):
            text = text.replace(url.removeprefix("http://"), HOST)
        text = text.replace(str(self.names["tmp"]), "/tmp").replace(self.names["first"], "1f0c…")
        text = re.sub(r"\b[0-9a-f]{16}(?=…)|\b[0-9a-f]{40,64}\b|\b(?=[a-f]*\d)[0-9a-f]{10}\b", "1f0c…", text).replace(
            "……", "…"
        )
        text = re.sub(r"\(\d tries, the last of \d+\.\d s\)", "(4 tries, the last of 60.0 s)", text)
        return re.sub(r"request [0-9a-zA-Z-]{8,}", "request 1f0c…", text)

    def make(self, mistake: Mistake) -> BaseException:
        """The error that a mistake in Python raises."""
        self.proxy.clear()
        if mistake.act is not None:
            self.proxy.rule(mistake.pattern, mistake.act)
        code = compile(mistake.code.replace("HOST", self.host), "mistake.py", "exec")
        try:
            exec(code, dict(self.names))
        except Exception as error:  # noqa: BLE001  # whatever comes is looked at
            return error
        finally:
            self.proxy.clear()
            pyxet.logout()
        raise AssertionError(f"{mistake.title}: nothing was raised")


@contextmanager
def set_up(folder: Path) -> Iterator[Stage]:
    with local_endpoint(user="acme") as endpoint, FaultProxy(endpoint.url) as proxy:
        yield Stage(endpoint, proxy, folder)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with set_up(tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture
def fresh_stage(tmp_path: Path) -> Iterator[Stage]:
    """One where no mistake was made before: some of them leave commits behind."""
    with set_up(tmp_path) as made:
        yield made


def command(stage: Stage, cli: Cli, mistake: Mistake) -> str:
    """What a command line says on standard error."""
    assert isinstance(mistake.error, int)
    cli.endpoint = stage.endpoint
    _, *words = shlex.split(mistake.code.removeprefix("$ "))
    return cli(*words, code=mistake.error).err


def row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |\n"


def code(text: str) -> str:
    return "<br>".join(f"`{line.replace('    ', '· ')}`" for line in text.replace("HOST", HOST).splitlines())


def told(stage: Stage, mistakes: Sequence[Mistake], *, classes: bool = False) -> str:
    lines = [row(["what happens", "code", "error and message"]), row(["---"] * 3)]
    for mistake in mistakes:
        error = stage.make(mistake)
        # Some classes are finer inside than what people may catch.
        kind = next(kind for kind in type(error).__mro__ if kind.__module__ in ("pyxet.errors", "builtins"))
        assert kind is mistake.error, f"{mistake.title}: {error!r}"
        text = stage.plain(str(error))
        assert text.isprintable(), text
        lines.append(row([mistake.title, code(mistake.code), f"`{kind.__name__}`: {text}"]))
    return "".join(lines)


def test_the_page_is_what_people_see(fresh_stage: Stage, cli: Cli) -> None:
    page = INTRODUCTION
    page += f"\n## Classes of errors\n\n{told(fresh_stage, CLASSES)}"
    page += f"\n## Mistakes in Python\n\n{told(fresh_stage, PYTHON)}"
    page += f"\n## Mistakes with pandas\n\n{told(fresh_stage, PANDAS)}"
    page += "\n## Mistakes with the command\n\n"
    page += row(["what happens", "command", "message", "exit code"]) + row(["---"] * 4)
    for mistake in COMMANDS:
        text = fresh_stage.plain(command(fresh_stage, cli, mistake)).rstrip()
        page += row([mistake.title, code(mistake.code.removeprefix("$ ")), text, str(mistake.error)])
        assert len(text.splitlines()) <= 3
    if os.environ.get("XET_WRITE_PAGE"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "XET_WRITE_PAGE=1 makes it anew"


def test_every_class_is_provoked() -> None:
    made = {mistake.error for mistake in CLASSES}
    kinds = {getattr(errors, name) for name in errors.__all__}
    assert made == {kind for kind in kinds if not issubclass(kind, Warning)} - {errors.XetError}


@pytest.mark.parametrize("mistake", [*CLASSES, *PYTHON, *PANDAS], ids=lambda item: item.title)
def test_tracebacks_are_of_the_callers_code(stage: Stage, mistake: Mistake) -> None:
    error = stage.make(mistake)
    if isinstance(error, TypeError):
        return
    # Whatever is between us and the caller, as pandas is, has its frames; ours are few, and nothing is behind the message.
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if "/pyxet/" in frame.filename]
    assert len(own) <= 6
    text = "".join(traceback.format_exception(error))
    assert "aiohttp" not in text
    assert "asyncio" not in text
    if isinstance(error, pyxet.XetError):
        notebook = error._render_traceback_()
        assert notebook[-1].endswith(str(error).splitlines()[-1])
        assert len(notebook) < 20
    # Python 3.13 shows each line of a call that is written over several.
    shown = [line for line in text.splitlines() if line.startswith("  File ")]
    assert len(shown) < (20 if mistake in PANDAS else 12)


FIVE = [
    'fs.open("acme/titanic/titanic.csv")',
    'fs.open("acme/titanic/main/titanik.csv")',
    'fs.ls("acme/corpus/main")',
    'pyxet.XetFS(token="xet_wrong").ls("acme/titanic/main")',
    'pyxet.XetFS("localhost:9", retry=pyxet.RetryPolicy(attempts=1)).ls("acme/titanic/main")',
]


@pytest.mark.parametrize("line", FIVE)
def test_the_most_common_mistakes_in_a_script(stage: Stage, tmp_path: Path, line: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import pyxet\n\nfs = pyxet.XetFS()\n{line}\n")
    variables = {"XET_ENDPOINT": stage.endpoint.url, "XET_USER_TOKEN": stage.endpoint.token}
    done = subprocess.run(
        [sys.executable, str(script)], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) < 30
    assert done.stderr.splitlines()[-1].startswith("pyxet.errors.")
