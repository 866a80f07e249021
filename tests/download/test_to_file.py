"""Downloads to local files: whole under their name or not there; resumed, locked, cleaned up."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.capabilities import need
from support.contents import content
from support.faults import MIB, RESOLVE, XORB, World, answer, check_clean, cut, flipped, gated, silent, world

from pyxet import _platform_files
from pyxet._async.download import leftovers
from pyxet._async.download import to_file as partial
from pyxet._async.download.reconstruct import WINDOW, Downloader
from pyxet._async.download.to_file import download_to
from pyxet.config import Limits
from pyxet.errors import AccessDeniedError, IntegrityError
from pyxet.types import RemoteFile

# Windows one after the other, so that what was written when a fault comes is known.
ONE_BY_ONE = Limits(memory=16 * MIB, concurrency=1)


async def get(it: World, file: RemoteFile, target: Path, progress: list[int] | None = None) -> None:
    await download_to(Downloader(it.client), file, target, (lambda _: None) if progress is None else progress.append)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(autouse=True)
def no_folder_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_folders", type(leftovers._folders)())


async def test_content_progress_and_nothing_else(tmp_path: Path) -> None:
    async with world() as it:
        data = content(201, WINDOW + MIB)
        file = await it.store(data)
        progress: list[int] = []
        await get(it, file, tmp_path / "new" / "folder" / "a.bin", progress)
        assert (tmp_path / "new" / "folder" / "a.bin").read_bytes() == data
        assert sum(progress) == len(data)
        assert names(tmp_path / "new" / "folder") == ["a.bin"]


async def test_empty_and_regular_files(tmp_path: Path) -> None:
    async with world() as it:
        await get(it, await it.store(b""), tmp_path / "empty")
        assert (tmp_path / "empty").read_bytes() == b""
        data = content(202, 100_000)
        it.proxy.rule(RESOLVE, answer(200, data))
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        await get(it, RemoteFile(it.repo, "main", "a", len(data), blob), tmp_path / "regular")
        assert (tmp_path / "regular").read_bytes() == data
        with pytest.raises(IntegrityError):
            await get(it, RemoteFile(it.repo, "main", "a", len(data), "0" * 40), tmp_path / "wrong")
        assert names(tmp_path) == ["empty", "regular"]


@pytest.mark.needs("modes")
async def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        async with world() as it:
            await get(it, await it.store(content(203, 1000)), tmp_path / "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


async def test_a_target_is_replaced_only_by_the_whole(tmp_path: Path) -> None:
    async with world() as it:
        data = content(204, MIB)
        file = await it.store(data)
        target = tmp_path / "a"
        target.write_bytes(b"old")
        rule = it.proxy.rule(XORB, answer(403))
        with pytest.raises(AccessDeniedError):
            await get(it, file, target)
        assert target.read_bytes() == b"old"
        rule.times = 0
        await get(it, file, target)
        assert target.read_bytes() == data
        assert names(tmp_path) == ["a"]


async def test_a_folder_is_no_target(tmp_path: Path) -> None:
    async with world() as it:
        file = await it.store(content(205, 1000))
        it.proxy.clear()
        with pytest.raises(IsADirectoryError) as caught:
            await get(it, file, tmp_path)
        assert caught.value.filename == str(tmp_path)
        assert not it.proxy.seen
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises((FileExistsError, NotADirectoryError)):
            await get(it, file, tmp_path / "file" / "a")


async def interrupted(it: World, file: RemoteFile, target: Path) -> None:
    """A download that is cancelled after its first window was written."""
    written = asyncio.Event()
    it.proxy.rule(XORB, silent(), skip=1)
    task = asyncio.create_task(download_to(Downloader(it.client), file, target, lambda _: written.set()))
    await asyncio.wait_for(written.wait(), 20)
    await it.proxy.arrival()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await check_clean()
    it.proxy.clear()


async def test_a_cancelled_download_is_resumed(tmp_path: Path) -> None:
    async with world(limits=ONE_BY_ONE) as it:
        data = content(206, 2 * WINDOW)
        file = await it.store(data)
        assert file.xet_hash is not None
        it.proxy.clear()
        await interrupted(it, file, tmp_path / "a")
        part = f".a.{file.xet_hash[:16]}.part"
        assert names(tmp_path) == [part, f"{part}.journal"]
        progress: list[int] = []
        await get(it, file, tmp_path / "a", progress)
        assert (tmp_path / "a").read_bytes() == data
        assert names(tmp_path) == ["a"]
        assert progress[0] >= WINDOW
        assert sum(progress) == len(data)
        fetched = [item.headers["Range"][6:].split("-") for item in it.proxy.seen if item.line.startswith(XORB)]
        assert sum(int(end) - int(start) for start, end in fetched) < WINDOW + MIB


@pytest.mark.parametrize("damage", ["data", "journal", "short data", "short journal", "long data", "no journal"])
async def test_what_does_not_agree_with_its_journal_is_fetched_again(tmp_path: Path, damage: str) -> None:
    async with world(limits=ONE_BY_ONE) as it:
        data = content(207, 2 * WINDOW)
        file = await it.store(data)
        it.proxy.clear()
        await interrupted(it, file, tmp_path / "a")
        part = next(path for path in tmp_path.iterdir() if path.suffix == ".part")
        journal = part.with_name(f"{part.name}.journal")
        victim = journal if "journal" in damage else part
        if damage == "no journal":
            journal.unlink()
        elif damage.startswith("short"):
            os.truncate(victim, victim.stat().st_size // 2 + 5)
        elif damage.startswith("long"):
            victim.write_bytes(victim.read_bytes() + b"more")
        else:
            raw = bytearray(victim.read_bytes())
            raw[len(raw) // 2] ^= 1
            victim.write_bytes(raw)
        await get(it, file, tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == data
        assert names(tmp_path) == ["a"]


async def test_a_new_download_is_not_cut_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux writes a file that was cut to nothing to the disk before it is closed, which takes as long as the download."""
    truncate, cuts = os.ftruncate, list[int]()

    def note(descriptor: int, size: int) -> None:
        cuts.append(size)
        truncate(descriptor, size)

    monkeypatch.setattr(partial.os, "ftruncate", note)
    async with world(limits=ONE_BY_ONE) as it:
        data = content(228, 2 * WINDOW)
        file = await it.store(data)
        await get(it, file, tmp_path / "new")
        assert cuts == []
        # What is longer than its journal says is cut to that.
        await interrupted(it, file, tmp_path / "a")
        [part] = tmp_path.glob(".a.*.part")
        known = part.stat().st_size
        with part.open("ab") as more:
            more.write(b"x" * 1000)
        await get(it, file, tmp_path / "a")
        assert cuts == [known]
        assert (tmp_path / "a").read_bytes() == data


async def test_a_failed_verification_deletes_everything(tmp_path: Path) -> None:
    async with world() as it:
        file = await it.store(content(208, MIB))
        it.proxy.rule(XORB, flipped(0.5), times=2)
        with pytest.raises(IntegrityError):
            await get(it, file, tmp_path / "a")
        assert names(tmp_path) == []
        await get(it, file, tmp_path / "a")


async def test_what_was_damaged_on_the_way_once_is_downloaded_again(tmp_path: Path) -> None:
    async with world() as it:
        data = content(208, MIB)
        file = await it.store(data)
        it.proxy.rule(XORB, flipped(0.5), times=1)
        done: list[int] = []
        await get(it, file, tmp_path / "a", done)
        assert (tmp_path / "a").read_bytes() == data
        assert names(tmp_path) == ["a"]
        assert sum(done) == len(data)
        assert sum(abs(amount) for amount in done) == 3 * len(data)


async def test_a_failed_request_keeps_what_was_verified(tmp_path: Path) -> None:
    async with world(limits=ONE_BY_ONE) as it:
        data = content(209, 2 * WINDOW)
        file = await it.store(data)
        rule = it.proxy.rule(XORB, answer(403), skip=1)
        with pytest.raises(AccessDeniedError):
            await get(it, file, tmp_path / "a")
        assert len(names(tmp_path)) == 2
        rule.times = 0
        progress: list[int] = []
        await get(it, file, tmp_path / "a", progress)
        assert progress[0] >= WINDOW
        assert (tmp_path / "a").read_bytes() == data


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "n" * 230, "n" * 191, ".hidden", "new\nline", "a.part"])
async def test_names_of_all_kinds(tmp_path: Path, name: str) -> None:
    async with world(limits=ONE_BY_ONE) as it:
        data = content(210, 2 * WINDOW)
        file = await it.store(data)
        await interrupted(it, file, tmp_path / name)
        other = await it.store(b"another version")
        await get(it, other, tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"another version"
        # The unfinished download of the older version went with it.
        assert names(tmp_path) == [name]


async def test_leftovers_of_other_processes_and_of_other_names(tmp_path: Path) -> None:
    async with world() as it:
        file = await it.store(content(211, 1000))
        stale = [f".a.{'0' * 16}.part", f".a.{'1' * 16}.part", f".a.{'0' * 16}.12-ab.part"]
        kept = [f".b.{'0' * 16}.part", ".a.part", f".a.b.{'0' * 16}.part", f"a.{'0' * 16}.part", f".a.{'0' * 15}g.part"]
        for name in [*stale, *kept]:
            (tmp_path / name).write_bytes(b"x")
            (tmp_path / f"{name}.journal").write_bytes(b"x")
        (tmp_path / f".a.{'2' * 16}.part.journal").write_bytes(b"x")
        await get(it, file, tmp_path / "a")
        assert names(tmp_path) == sorted(["a", *kept, *(f"{name}.journal" for name in kept)])


async def test_two_downloads_of_one_file_to_one_place(tmp_path: Path) -> None:
    async with world() as it:
        data = content(212, MIB)
        file = await it.store(data)
        it.proxy.rule(XORB, gated())
        tasks = [asyncio.create_task(get(it, file, tmp_path / "a")) for _ in range(3)]
        await it.proxy.arrival()
        it.proxy.open_gate()
        await asyncio.gather(*tasks)
        assert (tmp_path / "a").read_bytes() == data
        assert names(tmp_path) == ["a"]


async def test_two_versions_to_one_place(tmp_path: Path) -> None:
    async with world() as it:
        versions = [content(seed, MIB) for seed in (213, 214)]
        files = [await it.store(data) for data in versions]
        await asyncio.gather(*(get(it, file, tmp_path / "a") for file in files))
        assert (tmp_path / "a").read_bytes() in versions
        assert names(tmp_path) == ["a"]


def test_a_part_that_another_download_removes_before_its_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows: parts are closed, and not locked any more, before they are renamed."""
    monkeypatch.setattr(_platform_files, "MOVES_OPEN_FILES", False)
    monkeypatch.setattr(partial, "MOVES_OPEN_FILES", False)
    target = tmp_path / "a"
    first, second = (
        partial._Part(target, RemoteFile(None, "main", "a", 3, "", None, sign * 64))  # type: ignore[arg-type]
        for sign in "cd"
    )
    first.write([b"one"])
    second.write([b"two"])

    def publish_second_before(source: Path, target: Path) -> None:
        monkeypatch.setattr(partial, "replace", _platform_files.replace)
        second.publish()
        _platform_files.replace(source, target)

    monkeypatch.setattr(partial, "replace", publish_second_before)
    first.publish()
    assert target.read_bytes() == b"two"
    assert names(tmp_path) == ["a"]


@pytest.mark.needs("locks of files")
def test_a_part_that_was_published_meanwhile_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RemoteFile(None, "main", "a", 3, "", None, "ab" * 32)  # type: ignore[arg-type]
    first = partial._Part(tmp_path / "a", file)
    opened = partial._same_file

    def publish_first(descriptor: int, path: Path) -> bool:
        monkeypatch.setattr(partial, "_same_file", opened)
        first.write([b"one"])
        path.rename(tmp_path / "a")
        return opened(descriptor, path)

    # The lock of the first is gone, but what the second has opened is the finished file by now.
    import fcntl

    fcntl.flock(first._data, fcntl.LOCK_UN)
    monkeypatch.setattr(partial, "_same_file", publish_first)
    second = partial._Part(tmp_path / "a", file)
    second.cut()
    assert (tmp_path / "a").read_bytes() == b"one"
    second.remove()
    first.close()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Files cannot grow beyond a size: the disk is full, as far as the process can tell."""
    need("limits")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(limits=ONE_BY_ONE) as it:
        data = content(215, 2 * WINDOW)
        file = await it.store(data)
        write_all = partial._write_all
        calls = 0

        def full(descriptor: int, pieces: list[bytes]) -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                write_all(descriptor, [bytes(pieces[0])[:100]])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write_all(descriptor, pieces)

        monkeypatch.setattr(partial, "_write_all", full)
        with pytest.raises(OSError, match=r"a\.bin") as caught:
            await get(it, file, tmp_path / "a.bin")
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a.bin"))
        assert len(names(tmp_path)) == 2
        monkeypatch.undo()
        progress: list[int] = []
        await get(it, file, tmp_path / "a.bin", progress)
        assert progress[0] >= WINDOW
        assert (tmp_path / "a.bin").read_bytes() == data


def test_vectors_that_are_written_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = random.Random(220)
    pieces = [source.randbytes(source.choice((0, 1, 100, 70_000))) for _ in range(3000)]
    writev = os.writev
    most = []

    def some(descriptor: int, buffers: list[bytes]) -> int:
        most.append(len(buffers))
        whole = b"".join(buffers)
        return (
            os.write(descriptor, whole[: source.randrange(1, len(whole) + 1)]) if whole else writev(descriptor, [b""])
        )

    monkeypatch.setattr(os, "writev", some)
    with (tmp_path / "a").open("wb") as file:
        partial._write_all(file.fileno(), pieces)
    assert (tmp_path / "a").read_bytes() == b"".join(pieces)
    assert max(most) <= 1024


async def test_a_file_that_cannot_grow(tmp_path: Path) -> None:
    async with world() as it:
        file = await it.store(content(216, 2 * MIB))
        # The endpoint writes to files as well, so the limit comes after the content is stored.
        with file_size_limit(MIB), pytest.raises(OSError, match=r"a\.bin") as caught:
            await get(it, file, tmp_path / "a.bin")
        assert caught.value.errno == errno.EFBIG


@pytest.mark.needs("a plain user")
async def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        async with world() as it:
            with pytest.raises(PermissionError):
                await get(it, await it.store(b"x" * 100), tmp_path / "a")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.needs("signals")
async def test_a_killed_download_is_resumed(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from pyxet._async.client import Client, Settings\n"
        "from pyxet._async.download.reconstruct import Downloader\n"
        "from pyxet._async.download.to_file import download_to\n"
        "from pyxet.config import Credential, Limits, RetryPolicy, Timeouts\n"
        "from pyxet.secrets import Secret\n"
        "from pyxet.types import RemoteFile, RepoId\n"
        "url, token, owner, name, size, value, target = sys.argv[1:]\n"
        "client = Client(Settings(Credential(url, owner, Secret(token)), Limits(memory=2**24), RetryPolicy(), Timeouts()))\n"
        "file = RemoteFile(RepoId('models', owner, name), 'main', 'a', int(size), '', None, value)\n"
        "die = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(download_to(Downloader(client), file, Path(target), die))\n"
    )
    async with world() as it:
        data = content(217, 2 * WINDOW)
        file = await it.store(data)
        arguments = [it.proxy.url, it.endpoint.token, it.repo.owner, it.repo.name, str(file.size), file.xet_hash or ""]
        killed = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", script, *arguments, str(tmp_path / "a")], check=False, timeout=60
        )
        assert killed.returncode == -signal.SIGKILL
        assert len(names(tmp_path)) == 2
        progress: list[int] = []
        await get(it, file, tmp_path / "a", progress)
        assert progress[0] >= WINDOW
        assert (tmp_path / "a").read_bytes() == data
        assert names(tmp_path) == ["a"]


async def test_a_write_that_has_begun_ends_before_its_file_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world() as it:
        file = await it.store(content(218, MIB))
        started, go = threading.Event(), threading.Event()
        append = partial._Part.append
        closed: list[bool] = []

        def slow(self: partial._Part, chunks: list[object]) -> None:
            started.set()
            go.wait()
            os.fstat(self._data)
            closed.append(False)
            append(self, chunks)  # type: ignore[arg-type]

        monkeypatch.setattr(partial._Part, "append", slow)
        task = asyncio.create_task(get(it, file, tmp_path / "a"))
        await asyncio.to_thread(started.wait)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go.set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert closed == [False]


async def test_a_body_that_breaks_off_is_continued(tmp_path: Path) -> None:
    async with world() as it:
        data = content(219, 4 * MIB)
        file = await it.store(data)
        it.proxy.rule(XORB, cut(0.5), times=2)
        await get(it, file, tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == data
        with pytest.raises(IntegrityError):
            await get(it, replace(file, size=file.size + 1), tmp_path / "b")
        assert names(tmp_path) == ["a"]
