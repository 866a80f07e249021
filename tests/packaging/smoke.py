"""What a freshly installed wheel has to do, in any environment: ``python smoke.py [c|numpy]``.

Run from outside of the source tree, so that the installed package is what is tried.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path

import fsspec

import pyxet
from pyxet.testing import local_endpoint


def main(kernel: str) -> None:
    assert pyxet.versions()["kernel"] == kernel, pyxet.versions()
    data = random.Random(1).randbytes(3_000_000)
    with tempfile.TemporaryDirectory() as folder, local_endpoint() as endpoint:
        fs = fsspec.filesystem("xet", endpoint=endpoint.url, token=endpoint.token)
        assert isinstance(fs, pyxet.XetFS)
        fs.make_repo("acme/wheel")
        with fs.transaction(message="Two files") as transaction:
            fs.pipe_file("acme/wheel/main/data.bin", data)
            with fs.open("acme/wheel/main/notes.txt", "w") as file:
                file.write("text\n")
        [commit] = transaction.commits
        fs.get_file("acme/wheel/main/data.bin", f"{folder}/data.bin")
        assert Path(folder, "data.bin").read_bytes() == data
        assert fs.cat_file(f"acme/wheel/{commit.id}/data.bin", 1_000_000, 1_000_100) == data[1_000_000:1_000_100]
    told = subprocess.run(["xet", "version", "--verbose"], check=True, capture_output=True, text=True).stdout
    assert f"kernel             {kernel}" in told.splitlines(), told
    sys.stdout.write(told)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "c")
