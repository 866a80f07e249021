"""``python -m pyxet`` is the ``xet`` command."""

from pyxet.cli import main

main()
