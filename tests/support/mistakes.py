"""Mistakes and faults that users meet: code and commands as users write them, and how the endpoint acts."""

from __future__ import annotations

from dataclasses import dataclass

from pyxet import errors
from support.faults import XORB, Act, answer, answer_early, flipped, silent

# Names that the code uses: pyxet, pd, Path, tmp (a folder), windows() (a block on Windows), and the file systems fs, anonymous,
# mistaken (a wrong token), hurried (short time-outs), far (an endpoint that does not exist). HOST stands for the endpoint.
TREE = r"GET /api/.*/(tree|revision|paths-info)"
ANY = r".*"
COMMIT = r"POST /api/.*/commit/"
ONE_BRANCH = r"POST /api/.*/commit/experiment-1"


@dataclass(frozen=True)
class Mistake:
    """Code or a command that fails.

    Attributes
    ----------
    title:
        What happens, in words that users look for.
    code:
        Python code, or a command line that begins with ``$``.
    error:
        The error that it raises; for a command, its exit code.
    act, pattern:
        The act for requests whose line matches the pattern.
    """

    title: str
    code: str
    error: type[BaseException] | int
    act: Act | None = None
    pattern: str = ANY


CLASSES: tuple[Mistake, ...] = (
    Mistake("A path that is not valid", 'fs.ls("acme//main")', errors.XetURLError),
    Mistake("An option with a value that is not valid", "pyxet.Limits(concurrency=0)", errors.ConfigError),
    Mistake(
        "Writing to a tag",
        'fs.pipe_file("acme/titanic/v1/a.txt", b"x")',
        errors.NotSupportedError,
    ),
    Mistake(
        "A proxy or a log-in page answers with a web page",
        'fs.ls("acme/titanic/main")',
        errors.FormatError,
        answer(200, b"<html>Please log in</html>", Content_Type="text/html"),
    ),
    Mistake(
        "Content was damaged in transit",
        'fs.cat_file("acme/titanic/main/model.bin")',
        errors.IntegrityError,
        flipped(0.5),
        XORB,
    ),
    Mistake(
        "A local file is open in another program (on Windows)",
        'with windows(), open(tmp / "a.csv", "wb"):\n    fs.get_file("acme/titanic/main/titanic.csv", tmp / "a.csv")',
        errors.FileInUseError,
    ),
    Mistake(
        "A name in the repository is not allowed for a local file",
        'with windows():\n    fs.get_file("acme/titanic/main/titanic.csv", tmp / "aux.csv")',
        errors.LocalNameError,
    ),
    Mistake(
        "A transaction is used after its end",
        "with fs.transaction as tr:\n    pass\ntr.pipe('acme/titanic/main/a.txt', b'x')",
        errors.TransactionError,
    ),
    Mistake(
        "A transaction on two branches committed only one",
        "with fs.transaction as tr:\n"
        "    tr.pipe('acme/titanic/main/a.txt', b'x')\n"
        "    tr.pipe('acme/titanic/experiment-1/a.txt', b'x')",
        errors.PartialCommitError,
        answer(403, b'{"error": "the branch is protected"}'),
        ONE_BRANCH,
    ),
    Mistake(
        "An ingest cannot read some files",
        "pyxet.ingest(source, 'acme/titanic/main/data', fs=fs, source_fs=broken, journal=tmp / 'journal')",
        errors.IngestError,
    ),
    Mistake("The endpoint cannot be reached", 'far.ls("acme/titanic/main")', errors.ConnectionFailedError),
    Mistake(
        "The endpoint does not answer in time",
        'hurried.ls("acme/titanic/main")',
        errors.RequestTimeoutError,
        silent(),
    ),
    Mistake(
        "The endpoint takes too long to commit",
        'fs.pipe_file("acme/titanic/main/b.txt", b"x")',
        errors.CommitTimeoutError,
        answer(504),
        COMMIT,
    ),
    Mistake(
        "Any other error status",
        'fs.ls("acme/titanic/main")',
        errors.RemoteError,
        answer(405),
    ),
    Mistake("The owner does not exist", 'fs.ls("nobody")', errors.NotFoundError),
    Mistake("The repository does not exist", 'fs.ls("acme/titanik/main")', errors.RepositoryNotFoundError),
    Mistake("The branch does not exist", 'fs.ls("acme/titanic/mein")', errors.RevisionNotFoundError),
    Mistake("The file does not exist", 'fs.open("acme/titanic/main/titanik.csv")', errors.EntryNotFoundError),
    Mistake("No token, or a wrong one", 'mistaken.ls("acme/titanic/main")', errors.AuthenticationError),
    Mistake(
        "The token lacks the permission",
        'fs.pipe_file("acme/titanic/main/b.txt", b"x")',
        errors.AccessDeniedError,
        answer(403, b'{"error": "read-only token"}'),
        COMMIT,
    ),
    Mistake(
        "The repository's conditions were not accepted",
        'fs.ls("acme/titanic/main")',
        errors.GatedRepositoryError,
        answer(403, b'{"error": "Access to acme/titanic is restricted"}', X_Error_Code="GatedRepo"),
    ),
    Mistake(
        "Other people commit to the branch all the time",
        'fs.pipe_file("acme/titanic/main/b.txt", b"x")',
        errors.ConflictError,
        answer(412, b'{"error": "the branch has moved"}'),
        COMMIT,
    ),
    Mistake("The repository exists already", 'fs.make_repo("acme/titanic")', errors.AlreadyExistsError),
    Mistake(
        "A path changed since `parent_commit`",
        'fs.pipe_file("acme/titanic/main/titanic.csv", b"x", parent_commit=first)',
        errors.EditConflictError,
    ),
    Mistake(
        "The endpoint does not accept what was sent",
        'fs.make_repo("acme/new")',
        errors.BadRequestError,
        answer(400, b'{"error": "the name is reserved"}'),
    ),
    Mistake(
        "A folder is where a file should be",
        'fs.pipe_file("acme/titanic/main/data", b"x")',
        errors.FolderInTheWayError,
    ),
    Mistake(
        "A file is where a folder should be",
        'fs.pipe_file("acme/titanic/main/titanic.csv/a.txt", b"x")',
        errors.FileInTheWayError,
    ),
    Mistake(
        "A range begins after the end",
        'fs.ls("acme/titanic/main")',
        errors.RangeNotSatisfiableError,
        answer(416),
    ),
    Mistake("Too many requests", 'fs.ls("acme/titanic/main")', errors.RateLimitedError, answer_early(429)),
    Mistake(
        "The endpoint fails", 'fs.ls("acme/titanic/main")', errors.ServerError, answer(503, b'{"error": "maintenance"}')
    ),
)

PYTHON: tuple[Mistake, ...] = (
    Mistake("The branch was left out", 'fs.open("acme/titanic/titanic.csv")', errors.XetURLError),
    Mistake(
        "The branch was left out of a deeper path",
        'fs.open("acme/titanic/data/2026/a.csv")',
        errors.RevisionNotFoundError,
    ),
    Mistake(
        "The branch was left out of a path to write to",
        'fs.open("acme/titanic/data/a.csv", "wb")',
        errors.RevisionNotFoundError,
    ),
    Mistake("A data set without `datasets/`", 'fs.open("acme/corpus/main/a.csv")', errors.RepositoryNotFoundError),
    Mistake(
        "A private repository without a token", 'anonymous.ls("acme/private/main")', errors.RepositoryNotFoundError
    ),
    Mistake(
        "Writing without a token", 'anonymous.pipe_file("acme/titanic/main/a.txt", b"x")', errors.AuthenticationError
    ),
    Mistake("A URL of the Hub's own file system", 'fs.open("hf://datasets/acme/corpus/a.csv")', errors.XetURLError),
    Mistake(
        "The URL of a web page",
        'fs.open("https://huggingface.co/datasets/acme/corpus/blob/main/a.csv")',
        errors.XetURLError,
    ),
    Mistake(
        "The URL of a download",
        'fs.open("https://huggingface.co/acme/titanic/resolve/main/titanic.csv?download=true")',
        errors.XetURLError,
    ),
    Mistake(
        "A host without a colon after it", 'fs.open("xet://HOST/acme/titanic/main/titanic.csv")', errors.XetURLError
    ),
    Mistake("A URL of XetHub", 'fs.open("xet://xethub.com/acme/titanic/main/titanic.csv")', errors.XetURLError),
    Mistake(
        "A URL with another endpoint than the file system",
        'fs.open("xet://hub.example:acme/titanic/main/a")',
        errors.XetURLError,
    ),
    Mistake("A folder is opened as a file", 'fs.open("acme/titanic/main/data")', IsADirectoryError),
    Mistake("A wrong token in `login`", 'pyxet.login("acme", "xet_wrong", host="HOST")', errors.AuthenticationError),
    Mistake(
        "Another user's token in `login`", 'pyxet.login("somebody", token, host="HOST")', errors.AuthenticationError
    ),
    Mistake("A token with a line break", 'pyxet.XetFS("HOST", token="xet_1\\n2").ls("acme")', errors.ConfigError),
    Mistake("Writing to a commit", 'fs.pipe_file(f"acme/titanic/{first}/a.txt", b"x")', errors.NotSupportedError),
    Mistake("An unknown option", 'fs.pipe_file("acme/titanic/main/a.txt", b"x", mesage="why")', TypeError),
    Mistake(
        "A branch that exists already",
        'fs.make_branch("acme/titanic", "main", "experiment-1")',
        errors.AlreadyExistsError,
    ),
    Mistake("A bucket", 'fs.ls("buckets/acme/things")', errors.NotSupportedError),
)

PANDAS: tuple[Mistake, ...] = (
    Mistake("No such file", 'pd.read_csv("xet://HOST:acme/titanic/main/titanik.csv", storage_options=access)', errors.EntryNotFoundError),
    Mistake("The branch was left out", 'pd.read_csv("xet://HOST:acme/titanic/titanic.csv", storage_options=access)', errors.XetURLError),
    Mistake("The colon after the endpoint was left out", 'pd.read_csv("xet://HOST/acme/titanic/main/titanic.csv", storage_options=access)', errors.XetURLError),
    Mistake(
        "A wrong token",
        'pd.read_csv("xet://HOST:acme/titanic/main/titanic.csv", storage_options={"token": "xet_wrong"})',
        errors.AuthenticationError,
    ),
    Mistake(
        "A data set without `datasets/`",
        'pd.read_csv("xet://HOST:acme/corpus/main/a.csv", storage_options=access)',
        errors.RepositoryNotFoundError,
    ),
    Mistake("Writing to a branch that does not exist", 'frame.to_csv("xet://HOST:acme/titanic/new/a.csv", storage_options=access)', errors.RevisionNotFoundError),
)  # fmt: skip

COMMANDS: tuple[Mistake, ...] = (
    Mistake("The branch was left out", "$ xet cat acme/titanic/titanic.csv", 3),
    Mistake("No such file", "$ xet cat acme/titanic/main/titanik.csv", 3),
    Mistake("No such repository", "$ xet ls acme/titanik", 3),
    Mistake("A data set without datasets/", "$ xet ls acme/corpus/main", 3),
    Mistake("The URL of a web page", "$ xet cat https://huggingface.co/acme/titanic/blob/main/titanic.csv", 2),
    Mistake("A folder without -r", "$ xet cp acme/titanic/main/data .", 1),
    Mistake("A wrong token", "$ xet ls acme --token xet_wrong", 4),
    Mistake("A wrong token in login", "$ xet login -u acme -t xet_wrong", 4),
    Mistake("The endpoint cannot be reached", "$ xet ls acme --endpoint localhost:9", 1),
    Mistake("An unknown command", "$ xet lss acme", 2),
)
__all__ = ["CLASSES", "COMMANDS", "PANDAS", "PYTHON", "Mistake"]
