"""``xet version``."""

from __future__ import annotations

import platform

import pyxet
from pyxet.cli.command import command
from pyxet.cli.session import Session


@command("version", json=True, connects=False, examples=["xet version"])
def version(session: Session) -> None:
    """Also of the Python that runs it, with --json."""
    if session.json:
        session.data({"pyxet": pyxet.__version__, "python": platform.python_version()})
    else:
        session.line(f"pyxet {pyxet.__version__}")
