"""A store of an endpoint with some of everything, archived for each format that there has been.

``cd tests; python -m support.stores N`` writes the archive in the format of this version of pyxet: ``data/store_N.tar.gz``.
"""

from __future__ import annotations

import io
import random
import sys
import tarfile
from pathlib import Path

import pyxet
from pyxet.server.people import PeopleFile
from pyxet.testing import local_endpoint

DATA = Path(__file__).parents[1] / "data"
USER, TOKEN = "acme", "xet_of_the_store"
LARGE = random.Random(15).randbytes(30_000)
TEXT = b"a,b\n1,2\n"
# The files of each branch.
FILES = {
    "acme/titanic/main": {"data/large.bin": LARGE, "data/copy.bin": LARGE[:9_000] + LARGE, "titanic.csv": TEXT},
    "acme/titanic/work": {"data/large.bin": LARGE, "titanic.csv": TEXT + b"3,4\n"},
    "datasets/acme/closed/main": {"secret.bin": LARGE[::-1]},
}
LOG = ["the third", "the second", "the first"]


def make(root: Path) -> None:
    """Make the store with this version of pyxet."""
    with local_endpoint(root, USER, TOKEN) as endpoint:
        fs = pyxet.XetFS(endpoint.url, USER, TOKEN)
        fs.make_repo("acme/before")
        fs.make_repo("datasets/acme/closed", private=True)
        first = FILES["acme/titanic/main"]
        for message, (name, content) in zip(reversed(LOG), first.items(), strict=True):
            fs.pipe(f"acme/before/main/{name}", content, message=message)
        fs.make_branch("acme/before", "main", "work")
        fs.rm("acme/before/work/data/copy.bin")
        fs.pipe("acme/before/work/titanic.csv", FILES["acme/titanic/work"]["titanic.csv"])
        fs.make_tag("acme/before", "v1", "main")
        # The old name redirects.
        fs.rename_repo("acme/before", "acme/titanic")
        for name, content in FILES["datasets/acme/closed/main"].items():
            fs.pipe(f"datasets/acme/closed/main/{name}", content)
    PeopleFile(root).change(lambda people: people.with_user("ada").with_org("lab").with_member("lab", "ada", "write"))


def unpacked(format_: int, root: Path) -> None:
    """Extract the store that was written in an earlier format."""
    with tarfile.open(DATA / f"store_{format_}.tar.gz") as archive:
        archive.extractall(root, filter="data")


def _pack(root: Path, target: Path) -> None:
    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        return None if info.name in ("./lock", "./people.lock") or "/hooks/" in info.name else info

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(root, ".", filter=plain)
    target.write_bytes(packed.getvalue())


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "root")
        _pack(Path(folder) / "root", DATA / f"store_{sys.argv[1]}.tar.gz")
