"""Files that nobody closes: they publish nothing, warn once, make no requests, and their layers end quietly."""

# ruff: noqa: PT031  # what has to raise, or to warn, is the end of a block

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from support.capabilities import need
from support.faults import check_clean
from support.proxied import asynchronous
from support.settled import let_go

import pyxet
from pyxet.errors import PyxetWarning, TransactionError
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1024 * 1024


@pytest.fixture
def quiet_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Blocking calls that are made while objects are collected would wait for requests; there must be none."""
    from pyxet._async.files import read as readers
    from pyxet._async.files import write as writers

    made: list[str] = []
    for module in (readers, writers):
        monkeypatch.setattr(module, "blocking_call", lambda *_, **__: made.append("called"))
    return made


@pytest.mark.parametrize("cycle", [False, True])
@pytest.mark.parametrize("kind", ["wb", "w", "large", "gzip", "fsspec"])
def test_a_dropped_handle_warns_and_publishes_nothing(
    xet: pyxet.XetFS, main: str, url: str, options: dict[str, str], kind: str, cycle: bool, request: Any
) -> None:
    files: list[Any] = []
    if kind == "fsspec":
        files.append(fsspec.open(f"{url}/a", "w", **options).open())
    elif kind == "gzip":
        files.append(xet.open(f"{main}/a", "wt", compression="gzip"))
    else:
        files.append(xet.open(f"{main}/a", "wb" if kind == "large" else kind))
    files[0].write({"wb": b"half", "large": os.urandom(3 * MIB)}.get(kind, "half"))
    network = request.getfixturevalue("quiet_network")
    if cycle:
        files.append(files)
    with pytest.warns(PyxetWarning, match="nothing of it is published") as warned:
        del files
        gc.collect()
    assert len(warned) == 1
    assert network == []
    request.getfixturevalue("monkeypatch").undo()
    assert xet.find(main) == []


async def test_a_dropped_asynchronous_handle(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
        file = await fs.open_async(f"{main}/a", "wb")
        await file.write(os.urandom(3 * MIB))
        with pytest.warns(PyxetWarning, match="nothing of it is published"):
            del file
            gc.collect()
        await let_go()
        assert await fs._find(main) == []
    await check_clean()


@pytest.mark.needs("fork")
def test_a_fork_does_not_publish_files_of_its_parent(xet: pyxet.XetFS, main: str) -> None:
    file = xet.open(f"{main}/a.txt", "w")
    file.write("of the parent")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with pytest.raises(TransactionError, match="fork"):
                file.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert not xet.exists(f"{main}/a.txt")
    file.close()
    assert xet.cat(f"{main}/a.txt") == b"of the parent"


# -- layers ------------------------------------------------------------------------------------------------------------

ENDS = """
import bz2, gc, gzip, io, json, logging, lzma, sys, warnings, zipfile
import fsspec, pyxet

# How long things take is nothing to complain of here.
logging.getLogger("asyncio").setLevel(logging.ERROR)
logged = []
log = logging.getLogger("pyxet.writes")
log.propagate = False
log.addHandler(logging.Handler())
log.handlers[0].emit = lambda record: logged.append(f"{record.levelname}: {record.getMessage()}")
url, path, how = sys.argv[1:]
fs = pyxet.XetFS()
options = {"user": fs.get_username()}
said = []
sys.unraisablehook = lambda what: said.append(f"{what.object!r}: {what.exc_value!r}")

CODECS = {
    "gzip": lambda raw: gzip.GzipFile(fileobj=raw, mode="wb"),
    "bz2": lambda raw: bz2.BZ2File(raw, "wb"),
    "xz": lambda raw: lzma.LZMAFile(raw, "wb"),
    "zip": lambda raw: zipfile.ZipFile(raw, "w").open("member", "w"),
    "buffer": io.BufferedWriter,
    "none": lambda raw: raw,
}

def make(kind, codec, mode):
    compression = None if codec == "none" else codec
    if kind == "fs.open":
        return fs.open(path, mode, compression=compression)
    if kind == "fsspec.open":
        return fsspec.open(url, mode, compression=compression, **options).open()
    wrapped = CODECS[codec](fs.open(path, "wb"))
    return wrapped if mode == "wb" else io.TextIOWrapper(wrapped)

def drop(*what):
    file = make(*what)
    file.write(data)

def drop_cycle(*what):
    file = make(*what)
    file.write(data)
    around = [file]
    around.append(around)

def block(*what):
    with make(*what) as file:
        file.write(data)
        raise KeyError(file)

def transaction(*what):
    with fs.transaction:
        file = make(*what)
        file.write(data)
        raise KeyError(file)

def block_beneath(*what):
    file = make(*what)
    file.write(data)
    raw, = (found for found in gc.get_objects() if type(found).__name__ == "XetWriteFile" and not found.closed)
    with raw:
        del raw
        raise KeyError(file)

kinds = [(kind, codec, mode) for mode in ("w", "wb") for codec in CODECS for kind in ("fs.open", "fsspec.open", "own")
    if kind == "own" or codec != "buffer"]
for kind in kinds:
    if how.startswith("drop") and kind[1] == "zip" and kind[0] != "fs.open":
        # An archive that is collected before its member complains, whatever the file.
        continue
    data = "half" * 100 if kind[2] == "w" else b"half" * 100
    late = "nothing"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            globals()[how](*kind)
        except KeyError as error:
            file, = error.args
            try:
                file.write(data)
            except ValueError:
                late = "ValueError"
            del file
        gc.collect()
    print(json.dumps([kind, said, [f"{item.category.__name__}: {item.message}" for item in warned], late, logged]))
    said.clear()
    logged.clear()
"""


@pytest.mark.parametrize("how", ["drop", "drop_cycle", "block", "transaction", "block_beneath"])
def test_layers_of_what_is_thrown_away_end_quietly(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, url: str, tmp_path: Path, how: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", ENDS, f"{url}/a", f"{main}/a", how],
        capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XET_ENDPOINT": shared_endpoint.url,
             "XET_USER_NAME": shared_endpoint.user, "XET_USER_TOKEN": shared_endpoint.token},
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) >= 25
    lost = f"'{main}/a' was written and never closed: nothing of it is published"
    for kind, said, warned, late, logged in found:
        assert said == [], kind
        if how.startswith("drop"):
            assert (warned, logged) == ([f"PyxetWarning: {lost}"], [f"ERROR: {lost}"]), kind
        else:
            assert late == "ValueError", kind
        if how in ("transaction", "block_beneath"):
            assert (warned, logged) == ([], []), kind
    assert not xet.exists(f"{main}/a")


# -- who is told -------------------------------------------------------------------------------------------------------

SCRIPTS = {
    "global": """
        kept = fs.open(path, "w")
        kept.write("half")
    """,
    "cycle": """
        file = fs.open(path, "wb")
        file.cycle = [file]
        del file
    """,
    "without commit": """
        file = fs.open(path, "wb", autocommit=False)
        file.close()
    """,
    "thread": """
        import threading
        def work():
            fs.open(path, "w").write("half")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    """,
    "thread that goes on": """
        import threading
        started = threading.Event()
        def work():
            file = fs.open(path, "w")
            started.set()
            threading.Event().wait()
        threading.Thread(target=work, daemon=True).start()
        started.wait()
    """,
    "pool": """
        from concurrent.futures import ThreadPoolExecutor
        ThreadPoolExecutor(1).submit(lambda: fs.open(path, "w").write("half")).result()
    """,
    "process": """
        import multiprocessing
        def work():
            globals()["kept"] = fs.open(path, "w")
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
    """,
    "asynchronous": """
        import asyncio
        async def work():
            async with pyxet.AsyncXetFileSystem(asynchronous=True) as afs:
                file = await afs.open_async(path, "wb")
                await file.write(b"half")
        asyncio.run(work())
    """,
    "pandas": """
        import pandas as pd
        pd.DataFrame({"a": [1]}).to_csv(fs.open(path, "w"))
    """,
    "output replaced": """
        # As notebooks do it.
        import io, sys
        class Cell(io.StringIO):
            def write(self, text):
                return sys.__stderr__.write(text)
        sys.stderr = Cell()
        fs.open(path, "w").write("half")
    """,
    "exit": """
        import sys
        kept = fs.open(path, "w")
        sys.exit(0)
    """,
    "error": """
        kept = fs.open(path, "w")
        raise SystemExit(0) from KeyError()
    """,
    "log": """
        import logging, sys
        logging.basicConfig(stream=sys.stderr)
        kept = fs.open(path, "w")
    """,
}


def run(script: str, path: str, endpoint: LocalEndpoint, home: Path) -> str:
    lines = script.splitlines()
    whole = "import sys, pyxet\nfs, path = pyxet.XetFS(), sys.argv[1]\n" + "\n".join(line[8:] for line in lines)
    done = subprocess.run(
        [sys.executable, "-c", whole, path],
        capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "XET_ENDPOINT": endpoint.url,
             "XET_USER_NAME": endpoint.user, "XET_USER_TOKEN": endpoint.token},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_everybody_is_told(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, tmp_path: Path, name: str
) -> None:
    if name == "process":
        need("fork")
    said = run(SCRIPTS[name], f"{main}/a", shared_endpoint, tmp_path)
    state = "closed and never committed" if name == "without commit" else "written and never closed"
    lost = f"'{main}/a' was {state}: nothing of it is published"
    lines = [line for line in said.splitlines() if lost in line]
    assert len(lines) == 2, said
    assert any("PyxetWarning" in line for line in lines), said
    assert any(line in (lost, f"ERROR:pyxet.writes:{lost}") for line in lines), said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert xet.find(main) == []


ENDED = {
    "closed": """
        file = fs.open(path, "w")
        file.close()
    """,
    "closed at exit": """
        import atexit
        file = fs.open(path, "w")
        atexit.register(file.close)
    """,
    "closed by the parent of a fork": """
        import os, warnings
        file = fs.open(path, "w")
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            file.close()
    """,
    "in a transaction": """
        with fs.transaction:
            file = fs.open(path, "w")
    """,
}


@pytest.mark.parametrize("name", ENDED)
def test_nobody_is_told_of_what_is_published(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, tmp_path: Path, name: str
) -> None:
    if "fork" in name:
        need("fork")
    assert run(ENDED[name], f"{main}/a", shared_endpoint, tmp_path) == ""
    assert xet.find(main) == [f"{main}/a"]


TRANSACTIONS = {
    "at exit": """
        fs.start_transaction("x")
        file = fs.open(path, "w")
        fs.pipe_file(path + "b", b"x")
    """,
    "of a thread": """
        import gc, threading
        def work():
            fs.start_transaction("x")
            fs.pipe_file(path, b"x")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        gc.collect()
    """,
}


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_transactions_that_nobody_ends(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, tmp_path: Path, name: str
) -> None:
    said = run(TRANSACTIONS[name], f"{main}/a", shared_endpoint, tmp_path)
    assert said.count("was never ended: nothing written in it is published") == 2, said
    assert "PyxetWarning" in said
    # The first versions of Python 3.13 say that of threads of their own that end with the process.
    ignored = [line for line in said.splitlines() if "Exception ignored" in line]
    assert not [line for line in ignored if "_DeleteDummyThreadOnDel" not in line]
    assert xet.find(main) == []
