"""Working copies of repositories, with large files or with pointers in their place."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pyxet._platform_files import remove_tree
from pyxet.errors import EntryNotFoundError, LocalNameError
from pyxet.git.command import GitError, configured, run_git
from pyxet.git.credentials import endpoint_above
from pyxet.git.install import helper_settings, install, register_helper
from pyxet.local_rules import LocalRules, with_slashes

# Characters that have a meaning in the patterns of git-lfs; "?" is written in their place.
_SPECIAL: Final = re.compile(r"[,*?\[\]\\]")
# The same for ``.gitattributes``, where "?" matches one byte.
_UNWRITABLE: Final = re.compile(r'[\s"*?\[\]\\]', re.ASCII)


def clone(
    url: str,
    folder: Path | None = None,
    *,
    branch: str | None = None,
    lazy: bool,
    checkout: bool = True,
    endpoint: str | None = None,
    quiet: bool = False,
) -> Path:
    """Clone a repository, so that git-lfs moves its large files with Xet, and git uses the logins of pyxet there.

    Parameters
    ----------
    url:
        URL of the repository, as git accepts it.
    folder:
        Folder of the clone; named after the repository if ``None``.
    branch:
        Branch to check out; the repository's main branch if ``None``.
    lazy:
        Leave pointers in the place of large files, now and later; `pull` fetches the files that are wanted.
    checkout:
        Whether to write the files of the branch; otherwise only git's own folder is written.
    endpoint:
        Endpoint of the URL, if it is none of those that pyxet knows.
    quiet:
        Show errors only.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    GitError
        git or git-lfs failed.
    LocalNameError
        A file cannot have its name here, or two files would have the same name. No file was written, and there is no clone.
    """
    target = folder or Path(url.rstrip("/").rpartition("/")[2].removesuffix(".git"))
    where = urlsplit(url)
    options = ["--branch", branch] if branch is not None else []
    origin = None
    if where.scheme in ("http", "https"):
        origin = f"{where.scheme}://{where.netloc.rpartition('@')[2]}"
        origin = endpoint_above(f"{origin}{where.path}", endpoint) or origin
        for key, value in helper_settings(origin).items():
            options += ["--config", f"{key}={value}"]
    if quiet:
        options.append("--quiet")
    new = not target.exists()
    run_git("clone", "--no-checkout", *options, "--", url, str(target), shown=True)
    names = _committed(target) if checkout else []
    if names:
        try:
            _check_names(names, target)
        except LocalNameError:
            remove_tree(target if new else target / ".git")
            raise
        _check_out(target, quiet=quiet)
    install(local=True, skip_smudge=lazy, folder=target)
    note_pointers(target)
    if origin is not None:
        register_helper(origin, local=True, folder=target)
    if names and not lazy:
        try:
            run_git("lfs", "pull", folder=target, shown=not quiet)
        except GitError as error:
            raise GitError(
                f"{target} is cloned, but some of its large files are missing: {error}; run git lfs pull in it to try again"
            ) from error
    return target


def _check_names(names: Iterable[str], folder: Path) -> None:
    """Check that files can have these names here. git would stop half-way, or write one of two files that differ in case.

    Raises
    ------
    LocalNameError
        A file cannot have its name; the message names the file.
    """
    rules = LocalRules(way="clone with --no-checkout and choose files: git sparse-checkout")
    rules.targets([(name, f"{with_slashes(str(folder))}/{name}") for name in names])


def _committed(folder: Path) -> list[str]:
    """The files of the commit that is to be checked out; empty if there is no commit."""
    try:
        run_git("rev-parse", "--quiet", "--verify", "HEAD", folder=folder)
    except GitError:
        return []
    return run_git("ls-tree", "-r", "-z", "--name-only", "--full-tree", "HEAD", folder=folder).split("\0")[:-1]


def _check_out(folder: Path, *, quiet: bool) -> None:
    progress = ["--progress"] if not quiet and sys.stderr.isatty() else []
    # Large files are fetched afterwards, several at a time.
    lazily = {"GIT_LFS_SKIP_SMUDGE": "1"}
    run_git("checkout", "--quiet", *progress, "HEAD", folder=folder, shown=True, environment=lazily)


def note_pointers(folder: Path | None = None) -> bool:
    """Tell git about large files that no ``.gitattributes`` names, and return whether there are new ones.

    Clients that commit without git need not maintain that file. Without this, git-lfs would fetch the content of their large
    files, and git would take it for a change. The attributes are written for this working copy only.
    """
    names = [name for name in run_git("lfs", "ls-files", "--name-only", folder=folder).split("\n") if name]
    told = run_git("check-attr", "-z", "--stdin", "filter", folder=folder, given="\0".join(names)).split("\0")
    new = [name for name, value in zip(told[0::3], told[2::3], strict=False) if value != "lfs"]
    if new:
        where = Path(run_git("rev-parse", "--git-path", "info/attributes", folder=folder).rstrip("\n"))
        file = (folder or Path()) / where
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8", errors="surrogateescape", newline="\n") as attributes:
            attributes.writelines(
                f"/{_UNWRITABLE.sub('?', name)} filter=lfs diff=lfs merge=lfs -text\n" for name in new
            )
    return bool(new)


def pull(paths: Sequence[str] = (), *, quiet: bool = False) -> None:
    """Fetch the large files at some paths into a working copy; without paths, pull what was pushed meanwhile.

    Parameters
    ----------
    paths:
        Files and folders, relative to the working directory.

    Raises
    ------
    EntryNotFoundError
        A path is not in the repository.
    GitError
        git or git-lfs failed.
    """
    if not paths:
        run_git("pull", *(["--quiet"] if quiet else []), shown=True)
        if note_pointers() and "--skip" not in (configured("filter.lfs.smudge") or ""):
            run_git("lfs", "pull", shown=not quiet)
        return
    top = Path(run_git("rev-parse", "--show-toplevel").rstrip("\n"))
    patterns = []
    for path in paths:
        inside = os.path.relpath(os.path.abspath(path), os.path.realpath(top))
        if not run_git("ls-files", "-z", "--", f":(literal){path}"):
            raise EntryNotFoundError(f"{path} is not in the repository")
        # "." is the top folder, so the pattern has to match all files.
        patterns.append("*" if inside == "." else f"/{_SPECIAL.sub('?', Path(inside).as_posix())}")
    run_git("lfs", "pull", f"--include={','.join(patterns)}", "--exclude=", shown=not quiet)
