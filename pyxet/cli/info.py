"""``xet info`` and ``xet stat``."""

from __future__ import annotations

from datetime import datetime

import click

from pyxet._shown import human_size
from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.entries import for_json
from pyxet.cli.formats import local_time
from pyxet.cli.session import Session

_EXAMPLES = [
    "{} acme/titanic/main/titanic.csv",
    "{} acme/titanic/main@{{2026-11-01}}/titanic.csv --json",
    "{} acme/titanic",
]


def _named(name: str) -> click.Command:
    """Make the command under one of its two names."""

    @command(name, json=True, examples=[line.format(f"xet {name}") for line in _EXAMPLES])
    @click.argument("path", shell_complete=candidates.remote_path)
    def show(session: Session, path: str) -> None:
        """Of a file: size, hashes, the commit it was looked up in, and when it last changed. Of a branch, the commit
        it is at. Of a repository, whether it is private, and its dates.
        """
        fs = session.fs(path)
        info = for_json(fs.info(path, expand=True)) | {"url": fs.unstrip_protocol(path)}
        if session.json:
            session.data(info)
            return
        rows = []
        for name, value in info.items():
            if isinstance(value, datetime):
                text = local_time(value).isoformat(sep=" ", timespec="seconds")
            elif name == "size":
                text = f"{value:,} bytes" + (f" ({human_size(value)})" if value >= 1024 else "")
            elif isinstance(value, bool):
                text = "yes" if value else "no"
            else:
                text = str(value)
            rows.append([name.replace("_", " "), text])
        session.table(rows)

    return show


info = _named("info")
stat = _named("stat")
