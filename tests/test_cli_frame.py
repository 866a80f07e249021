"""What all commands share: start-up, help, options, errors and exit codes."""

from __future__ import annotations

from _cli import Cli


def test_the_version(cli: Cli) -> None:
    import pyxet

    assert cli("version").lines == [f"pyxet {pyxet.__version__}"]
    assert cli("version", "--json").json["pyxet"] == pyxet.__version__
    assert cli("--version").lines == [f"pyxet {pyxet.__version__}"]
