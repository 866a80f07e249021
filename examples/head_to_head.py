"""pyxet and huggingface_hub side by side, on one local endpoint: ten things that go wrong, and what happens.

    python examples/head_to_head.py            # all cases
    python examples/head_to_head.py 3 8        # some of them

Each case is a few lines for either side; what they return is printed. Needs ``huggingface_hub`` and ``hf_xet``.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from misbehaving import Misbehaving

HOME = tempfile.TemporaryDirectory(prefix="head-to-head-", ignore_cleanup_errors=True)
# huggingface_hub reads these when it is imported: ignore the configuration of this machine, and use short time-outs.
os.environ |= {"HF_HOME": f"{HOME.name}/hf", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
for variable in ("HF_TOKEN", "HF_ENDPOINT", "XET_ENDPOINT", "XET_USER_TOKEN"):
    os.environ.pop(variable, None)

import huggingface_hub  # noqa: E402
from huggingface_hub import CommitOperationAdd, HfApi, HfFileSystem  # noqa: E402

import pyxet  # noqa: E402
from pyxet.testing import local_endpoint  # noqa: E402

MIB = 1024 * 1024


class World:
    """One endpoint, a proxy that misbehaves in front of it, both clients, and for each case a repository for either."""

    def __init__(self, proxy: Misbehaving, token: str, user: str) -> None:
        self.proxy, self.token, self.user = proxy, token, user
        self.api = HfApi(proxy.url, token=token)
        self.hf = HfFileSystem(endpoint=proxy.url, token=token, skip_instance_cache=True)
        retry = pyxet.RetryPolicy(attempts=2, base_delay=0.05)
        self.xet = pyxet.XetFS(proxy.url, token=token, retry=retry)
        self.repo = ""

    def begin(self, name: str) -> None:
        self.proxy.reset()
        self.repo = f"{self.user}/{name}"
        self.xet.make_repo(self.repo)

    @property
    def target(self) -> str:
        """The folder that those programs download to."""
        return f"{HOME.name}/target-{self.repo.replace('/', '-')}"

    def put(self, name: str, data: bytes) -> None:
        """A file that both find there."""
        self.xet.pipe_file(f"{self.repo}/main/{name}", data)
        self.hf.invalidate_cache()
        self.proxy.reset()

    def files(self) -> int:
        return sum(not name.endswith(".gitattributes") for name in self.xet.find(f"{self.repo}/main", refresh=True))

    def commits(self) -> int:
        """How many commits the branch has, without the first one."""
        return len(self.xet.log(f"{self.repo}/main")) - 1

    def run(self, code: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A separate program, to be interrupted or killed."""
        variables = {"TARGET": self.target, "REPO": self.repo}
        variables |= {"URL": self.proxy.url, "TOKEN": self.token, "HF_HUB_DOWNLOAD_TIMEOUT": "60"}
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments], env=os.environ | variables, stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip


def outcome(call: Callable[[], Any]) -> str:
    """What a call returns, or the error that it raises."""
    try:
        return str(call())
    except Exception as error:  # noqa: BLE001  # it is what is shown
        # The public type: for a private type of pyxet, the public class that it derives from.
        names = (kind.__name__ for kind in type(error).__mro__ if not kind.__module__.startswith("pyxet._"))
        return f"raises {next(names)}"


# -- 1: five files, one commit, and none of it after an error ----------------------------------------------------------


def write_files(fs: Any, prefix: str, count: int, *, fail: bool) -> None:
    for number in range(count):
        with fs.open(f"{prefix}/{number}-{fail}.txt", "wb") as file:
            file.write(b"content")
    if fail:
        raise RuntimeError("the source broke off")


def five_files_hf(world: World) -> str:
    def write(count: int, *, fail: bool) -> None:
        with world.hf.transaction:
            write_files(world.hf, world.repo, count, fail=fail)

    with_one = outcome(lambda: write(5, fail=False))
    write_files(world.hf, world.repo, 5, fail=False)
    made, there = world.commits(), world.files()
    outcome(lambda: write_files(world.hf, world.repo, 3, fail=True))
    without = f"{made} commits without; after an error {world.files() - there} more files"
    made = world.commits()
    operations = [CommitOperationAdd(f"all/{number}.txt", b"content") for number in range(5)]
    world.api.create_commit(world.repo, operations, commit_message="all five")
    return f"{with_one}; {without}; `create_commit`, of five contents at once: {world.commits() - made} commit"


def five_files_xet(world: World) -> str:
    def write(count: int, *, fail: bool) -> None:
        with world.xet.transaction:
            write_files(world.xet, f"{world.repo}/main", count, fail=fail)

    write(5, fail=False)
    made, there = world.commits(), world.files()
    outcome(lambda: write(3, fail=True))
    return f"{made} commit; after an error {world.files() - there} more files"


# -- 2: an exception while a file is written ---------------------------------------------------------------------------


def half_a_file(world: World, fs: Any, path: str) -> str:
    def write() -> None:
        with fs.open(path, "wb") as file:
            file.write(b"only half")
            raise RuntimeError("the source broke off")

    outcome(write)
    return "half a file is published" if world.files() else "nothing is published"


def half_a_file_hf(world: World) -> str:
    return half_a_file(world, world.hf, f"{world.repo}/results.csv")


def half_a_file_xet(world: World) -> str:
    return half_a_file(world, world.xet, f"{world.repo}/main/results.csv")


# -- 3: does a file exist, while the endpoint says 429 -----------------------------------------------------------------


def busy_hf(world: World) -> str:
    world.put("a.txt", b"a")
    world.proxy.too_many(r"(GET|POST|HEAD) ")
    return outcome(lambda: world.hf.exists(f"{world.repo}/a.txt"))


def busy_xet(world: World) -> str:
    world.put("a.txt", b"a")
    world.proxy.too_many(r"(GET|POST|HEAD) ")
    return outcome(lambda: world.xet.exists(f"{world.repo}/main/a.txt"))


# -- 4: twenty reads of a hundred bytes --------------------------------------------------------------------------------


def small_reads(world: World, fs: Any, path: str) -> str:
    world.put("large.bin", random.Random(4).randbytes(64 * MIB))
    with fs.open(path, "rb") as file:
        for number in range(20):
            file.seek(number * 3 * MIB)
            file.read(100)
    content = world.proxy.content
    told = "more than 40" if content > 40 * MIB else "less than 4" if content < 4 * MIB else "from 4 to 40"
    return f"{told} MiB for 2,000 bytes"


def small_reads_hf(world: World) -> str:
    return small_reads(world, world.hf, f"{world.repo}/large.bin")


def small_reads_xet(world: World) -> str:
    return small_reads(world, world.xet, f"{world.repo}/main/large.bin")


# -- 5: two threads, a transaction in each; one of them fails ----------------------------------------------------------


def two_threads(world: World, fs: Any, prefix: str) -> str:
    both = threading.Barrier(2)
    errors = []

    def work(name: str, *, fail: bool) -> None:
        with fs.transaction:
            both.wait(60)
            with fs.open(f"{prefix}/{name}.txt", "wb") as file:
                file.write(b"content")
            both.wait(60)
            if fail:
                raise RuntimeError("this one fails")

    def tried(name: str, *, fail: bool) -> None:
        errors.append(outcome(lambda: work(name, fail=fail)))

    threads = [threading.Thread(target=tried, args=(name,), kwargs={"fail": name == "bad"}) for name in ("good", "bad")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = sorted(name.rpartition("/")[2] for name in world.xet.find(f"{world.repo}/main", refresh=True))
    found = ", ".join(name for name in names if name.endswith(".txt"))
    if "raises NotImplementedError" in errors:
        return f"no transactions: {errors[0]}"
    return f"committed: {found or 'nothing'}"


def two_threads_hf(world: World) -> str:
    return two_threads(world, world.hf, world.repo)


def two_threads_xet(world: World) -> str:
    return two_threads(world, world.xet, f"{world.repo}/main")


# -- 6: a thousand reads that are awaited ------------------------------------------------------------------------------


def awaited_hf(world: World) -> str:
    return "coroutines" if world.hf.async_impl else "no coroutines"


def awaited_xet(world: World) -> str:
    names = [f"{world.repo}/main/{number}.bin" for number in range(50)]
    world.xet.pipe({name: name.encode() + bytes(range(256)) * 40 for name in names})
    world.proxy.reset()

    async def read() -> int:
        async with pyxet.AsyncXetFileSystem(world.proxy.url, token=world.token, asynchronous=True) as fs:
            found = await asyncio.gather(*(fs._cat_file(names[number % 50]) for number in range(1000)))
        return sum(data.startswith(names[number % 50].encode()) for number, data in enumerate(found))

    right = asyncio.run(read())
    return (
        f"{right:,} reads in one loop, in less than 100 requests" if world.proxy.requests < 100 else f"{right:,} reads"
    )


# -- 7: Ctrl-C in a download, while the network stalls -----------------------------------------------------------------

DOWNLOAD_HF = """
import os
from huggingface_hub import hf_hub_download
hf_hub_download(os.environ["REPO"], "large.bin", endpoint=os.environ["URL"], token=os.environ["TOKEN"], local_dir=os.environ["TARGET"])
"""
DOWNLOAD_XET = """
import os, pyxet
fs = pyxet.XetFS(os.environ["URL"], token=os.environ["TOKEN"])
fs.get_file(os.environ["REPO"] + "/main/large.bin", os.environ["TARGET"] + "/large.bin")
"""


def interrupted(world: World, code: str) -> str:
    world.put("large.bin", random.Random(7).randbytes(8 * MIB))
    world.proxy.stall_after(4 * MIB)
    with world.run(code) as child:
        if not world.proxy.stalled.wait(100):
            child.kill()
            return "does not get that far"
        child.send_signal(signal.SIGINT)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            return "goes on for more than 10 seconds"
    return "ends"


def interrupted_hf(world: World) -> str:
    return interrupted(world, DOWNLOAD_HF)


def interrupted_xet(world: World) -> str:
    return interrupted(world, DOWNLOAD_XET)


# -- 8: a bit that flips on the way ------------------------------------------------------------------------------------


def flipped(world: World, read: Callable[[], bytes]) -> str:
    data = random.Random(8).randbytes(4 * MIB)
    world.put("large.bin", data)
    world.proxy.flip_a_bit()
    return outcome(lambda: "the right content" if read() == data else "wrong content, no error")


def flipped_hf(world: World) -> str:
    return flipped(world, lambda: world.hf.cat_file(f"{world.repo}/large.bin"))


def flipped_xet(world: World) -> str:
    return flipped(world, lambda: world.xet.cat_file(f"{world.repo}/main/large.bin"))


# -- 9: a download that is killed, and begun again ---------------------------------------------------------------------


def wait_until_quiet(folder: Path) -> None:
    """Wait until received content is written, for either client: until nothing changes in the folder for three seconds."""
    before, since = -1, time.monotonic()
    while time.monotonic() < since + 3:
        size = sum(path.stat().st_blocks for path in folder.rglob("*") if path.is_file())
        if size != before:
            before, since = size, time.monotonic()
        time.sleep(0.1)


def killed(world: World, code: str) -> str:
    size = 160 * MIB
    world.put("large.bin", random.Random(9).randbytes(size))
    world.proxy.stall_after(120 * MIB)
    with world.run(code) as child:
        begun = world.proxy.stalled.wait(100)
        wait_until_quiet(Path(world.target))
        child.kill()
    if not begun:
        return "does not get that far"
    world.proxy.reset()
    with world.run(code) as child:
        child.wait(120)
    return "goes on: fetches the rest" if world.proxy.content < 0.8 * size else "begins again: fetches all of it"


def killed_hf(world: World) -> str:
    return killed(world, DOWNLOAD_HF)


def killed_xet(world: World) -> str:
    return killed(world, DOWNLOAD_XET)


# -- 10: overwriting only the version that was seen --------------------------------------------------------------------


def guarded(world: World, write: Callable[[], object], other: str) -> str:
    """``write`` replaces the version that was seen before; meanwhile somebody else writes ``other``."""
    world.xet.pipe_file(f"{world.repo}/main/{other}", other.encode() * 3)
    found = outcome(write)
    return found if found.startswith("raises") else "is written"


def guards(world: World, prepare: Callable[[], Callable[[], object]]) -> str:
    world.put("model.bin", b"first")
    another = guarded(world, prepare(), "another.txt")
    same = guarded(world, prepare(), "model.bin")
    return f"another file has changed: {another}; the file has changed: {same}"


def guards_hf(world: World) -> str:
    def prepare() -> Callable[[], object]:
        seen = world.api.repo_info(world.repo).sha
        added = CommitOperationAdd("model.bin", b"second")
        return lambda: world.api.create_commit(world.repo, [added], commit_message="second", parent_commit=seen)

    return guards(world, prepare)


def guards_xet(world: World) -> str:
    def prepare() -> Callable[[], object]:
        path = f"{world.repo}/main/model.bin"
        seen = world.xet.info(path)["blob_id"]
        return lambda: world.xet.pipe_file(path, b"second", if_match=seen)

    return guards(world, prepare)


Side = Callable[[World], str]
CASES: list[tuple[str, Side, Side]] = [
    ("five files in a transaction", five_files_hf, five_files_xet),
    ("an exception in a `with open(…)` block", half_a_file_hf, half_a_file_xet),
    ("`exists()` of a file that is there, under 429", busy_hf, busy_xet),
    ("20 reads of 100 bytes, 3 MiB apart", small_reads_hf, small_reads_xet),
    ("two threads, a transaction in each, one fails", two_threads_hf, two_threads_xet),
    ("1,000 awaited reads", awaited_hf, awaited_xet),
    ("Ctrl-C in a download while the network stalls", interrupted_hf, interrupted_xet),
    ("a bit flips on the way", flipped_hf, flipped_xet),
    ("a download of 160 MiB is killed after 120, and begun again", killed_hf, killed_xet),
    ("overwrite only the version that was seen", guards_hf, guards_xet),
]


def main(chosen: list[int]) -> None:
    """Print a line for either side of each case, as rows of a table."""
    print(f"huggingface_hub {huggingface_hub.__version__}, pyxet {pyxet.__version__}")
    print("| | | `huggingface_hub` | pyxet |\n|---|---|---|---|")
    Path(HOME.name).mkdir(exist_ok=True)
    with local_endpoint() as endpoint, Misbehaving(endpoint.url) as proxy:
        world = World(proxy, endpoint.token, endpoint.user)
        for number, (what, hf, xet) in enumerate(CASES, 1):
            if not chosen or number in chosen:
                told = []
                for name, side in (("hf", hf), ("xet", xet)):
                    world.begin(f"case-{number}-{name}")
                    told.append(side(world))
                print(f"| {number} | {what} | {told[0]} | {told[1]} |", flush=True)


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:]])
