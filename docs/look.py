"""Look at every page of the built documentation in a browser: ``python docs/look.py docs/_build/html [FOLDER]``.

Chromium shows each page at the width of a desktop and of a phone. Pages that have to be scrolled sideways are reported, and so
are requests to other hosts and errors of scripts. If a folder is given, screenshots of all pages are saved there.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, web

WIDTHS = (1280, 390)
_HEIGHT = 900
# Finds elements wider than the window, except those that scroll by themselves, such as tables and code.
_WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Tab:
    """A page of the browser, controlled through its debugging protocol."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.seen: list[dict[str, Any]] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events that arrive meanwhile are kept."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=60)
            if message.get("id") == self._number:
                result: dict[str, Any] = message.get("result", {})
                return result
            self.seen.append(message)

    async def wait_for(self, event: str) -> None:
        """Wait for an event, unless it has already arrived."""
        while not any(message.get("method") == event for message in self.seen):
            self.seen.append(await self._socket.receive_json(timeout=60))

    async def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        return (await self.call("Runtime.evaluate", expression=expression))["result"].get("value")


@asynccontextmanager
async def served(site: Path) -> AsyncIterator[str]:
    """Serve the site on a local port, so that scripts work as they do for readers."""
    app = web.Application()
    app.router.add_static("/", site)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def browser(session: ClientSession) -> AsyncIterator[Tab]:
    """A tab of a new Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("there is no chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        process = await asyncio.create_subprocess_exec(
            program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0",
            f"--user-data-dir={profile}", "about:blank", stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            told = Path(profile, "DevToolsActivePort")
            async with asyncio.timeout(60):
                while not told.exists() or "\n" not in told.read_text():
                    await asyncio.sleep(0.1)
            port = told.read_text().split()[0]
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                [target] = [tab for tab in json.loads(await answer.text()) if tab["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
        finally:
            process.terminate()
            await process.wait()


async def look(tab: Tab, url: str, width: int, picture: Path | None) -> list[str]:
    """The problems of a page at a given width."""
    await tab.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=_HEIGHT, deviceScaleFactor=1, mobile=width < 600
    )
    tab.seen.clear()
    await tab.call("Page.navigate", url=url)
    await tab.wait_for("Page.loadEventFired")
    wrong = []
    if wider := await tab.value(_WIDER):
        wrong.append(f"is {wider} pixels wider than {width}")
    for message in tab.seen:
        asked = message.get("params", {}).get("request", {}).get("url", url)
        if not asked.startswith((url.rsplit("/", 1)[0][:22], "data:")):
            wrong.append(f"asks for {asked}")
        if message.get("method") == "Runtime.exceptionThrown":
            wrong.append(f"has a script that fails: {message['params']['exceptionDetails'].get('text')}")
    if picture is not None:
        shot = await tab.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(base64.b64decode(shot["data"]))
    return wrong


async def main(site: Path, pictures: Path | None) -> int:
    """Look at all pages, and return the exit code."""
    found = False
    async with served(site) as address, ClientSession() as session, browser(session) as tab:
        for domain in ("Page", "Runtime", "Network"):
            await tab.call(f"{domain}.enable")
        for page in sorted(site.rglob("*.html")):
            name = page.relative_to(site).as_posix()
            for width in WIDTHS:
                picture = pictures / f"{name.removesuffix('.html').replace('/', '-')}-{width}.png" if pictures else None
                for wrong in await look(tab, f"{address}/{name}", width, picture):
                    found = True
                    sys.stderr.write(f"{name} {wrong}\n")
    return int(found)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None)))
