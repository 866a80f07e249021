"""``xet version``."""

from __future__ import annotations

import platform

import pyxet
from pyxet.cli.command import command
from pyxet.cli.session import Session


@command("version", json=True, connects=False, examples=["xet version", "xet version --verbose"])
def version(session: Session) -> None:
    """With --verbose also of Python, the platform, the kernel and the packages that pyxet works with: what a bug report
    needs. It says nothing of accounts, endpoints and folders."""
    if session.verbose:
        found = pyxet.versions()
        if session.json:
            session.data(found)
        else:
            width = max(map(len, found))
            for name, text in found.items():
                session.line(f"{name:<{width}}  {text}")
    elif session.json:
        session.data({"pyxet": pyxet.__version__, "python": platform.python_version()})
    else:
        session.line(f"pyxet {pyxet.__version__}")
