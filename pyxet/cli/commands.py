"""The commands: their names, where they are, and one line of help each. The order is that of ``xet --help``."""

from __future__ import annotations

from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One command.

    Attributes
    ----------
    where:
        ``module:object``, imported when the command is used.
    help:
        One line of help.
    """

    where: str
    help: str


COMMANDS: Final[dict[str, Entry]] = {
    "login": Entry("pyxet.cli.account:login", "Save a user and token for an endpoint."),
    "logout": Entry("pyxet.cli.account:logout", "Remove what login saved."),
    "whoami": Entry("pyxet.cli.account:whoami", "Show the user and the endpoint."),
    "ls": Entry("pyxet.cli.ls:ls", "List repositories, branches and files."),
    "tree": Entry("pyxet.cli.tree:tree", "Show folders and files as a tree."),
    "find": Entry("pyxet.cli.find:find", "Find files by name, type and size."),
    "du": Entry("pyxet.cli.du:du", "Sum up the sizes of files, folder by folder."),
    "info": Entry("pyxet.cli.info:info", "Show what is at a path."),
    "stat": Entry("pyxet.cli.info:stat", "Show what is at a path; another name of info."),
    "cat": Entry("pyxet.cli.cat:cat", "Write the content of files to standard output."),
    "head": Entry("pyxet.cli.cat:head", "Write the first lines of a file to standard output."),
    "cp": Entry("pyxet.cli.cp:cp", "Copy files and folders, up, down and between repositories."),
    "sync": Entry("pyxet.cli.sync:sync", "Copy what differs between two folders."),
    "download": Entry("pyxet.cli.download:download", "Bring a whole revision into a local folder."),
    "ingest": Entry("pyxet.cli.ingest:ingest", "Copy a large tree into a branch, with many workers if need be."),
    "mv": Entry("pyxet.cli.mv:mv", "Move or rename files and folders of a repository."),
    "rm": Entry("pyxet.cli.rm:rm", "Remove files and folders of a branch."),
    "branch": Entry("pyxet.cli.branch:branch", "Make, list, show and delete branches."),
    "tag": Entry("pyxet.cli.tag:tag", "Make, list and delete tags."),
    "pr": Entry("pyxet.cli.pr:pr", "Begin, list, show, merge and close pull requests."),
    "log": Entry("pyxet.cli.history:log", "List the commits of a branch, or those that changed a path."),
    "diff": Entry("pyxet.cli.history:diff", "Show which paths differ between two revisions."),
    "repo": Entry("pyxet.cli.repo:repo", "Make, list, copy, rename, change and delete repositories."),
    "clone": Entry("pyxet.cli.git:clone", "Clone a repository with git, its large files by their chunks."),
    "git": Entry("pyxet.cli.git:git", "Make git and git-lfs work with Xet."),
    "serve": Entry("pyxet.cli.serve:serve", "Serve a directory as a local endpoint."),
    "version": Entry("pyxet.cli.version:version", "Show the version."),
}
