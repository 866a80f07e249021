"""What a user gets wrong: mypy and pyright have to find an error in each marked line. It is checked, never run."""

from __future__ import annotations

import pyxet
from pyxet import AsyncXetFileSystem, XetFS

FILE = "acme/titanic/main/titanic.csv"


def making() -> None:
    XetFS(endpont="local")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    AsyncXetFileSystem(asyncronous=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    XetFS(limits=4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pyxet.XetFs()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def blocking(fs: XetFS) -> None:
    fs.lss("acme")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    fs.info(FILE, refesh=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    fs.info(FILE, timeout="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fs.info(FILE)["sise"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    fs.ls("acme", details=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    fs.ls("acme", detail=False)[0]["name"]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
    fs.cat(FILE).items()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    fs.open(FILE, "w", mesage="new")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    fs.open(FILE, "w").write(b"x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pyxet.open(f"xet://{FILE}", "w", mesage="new")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    fs.pipe(FILE, "text")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fs.pipe(FILE)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    fs.pipe_file(FILE, b"x", mode="creat")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fs.put("data/", "acme/titanic/main/data/", recursiv=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    fs.rm(FILE, if_mach="0" * 40)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    fs.make_branche("acme/titanic", "main", "other")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    fs.transaction(mesage="new")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with fs.transaction as tr:
        tr.fs.pipee(FILE, b"x")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        tr.put("data/", "acme/titanic/main/data/", recursiv=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        tr.pipe(FILE, "text")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
        tr.cp(FILE)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        tr.set_message("new")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


async def awaiting(fs: AsyncXetFileSystem) -> None:
    await fs._infos(FILE)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    await fs._cat_file(FILE, strat=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await fs.open_async(FILE, "wb", mesage="new")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    fs.open_async(FILE).read()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    async with fs.transaction(mesage="new"):  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        pass
