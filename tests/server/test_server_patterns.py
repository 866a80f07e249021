"""``.gitignore`` and ``.gitattributes``: what git itself says of patterns and paths, and patterns made to take for ever."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.raw_client import RawClient

from pyxet.errors import BadRequestError
from pyxet.server.patterns import MAX_RULES, Ignored, LfsRules
from pyxet.server.wildmatch import MAX_PATTERN, Pattern
from pyxet.testing import LocalEndpoint, local_endpoint

PATHS = [
    "a", "b", "ab", "a.bin", "dir/a", "dir/a.bin", "dir/sub/a.bin", "a/b", "a/b/c", "a/x/b", "a/x/y/b", "x/a/b/c", "foo", "foobar",
    "a/foo", "a/foobar", "a/foobar/x", "a/foo/x/y", "a/foo/bar", "foo/bar", "foo/baz/bar", "foo/a/b/bar/c", "saved_model/v", "[x]",
    "saved_model/v/w", "a-b", "a]b", "a[b", "a\\b", "a b", "a*b", "a?b", "é", "aé", "é/a", "#a", "!a", "-", "]", "^", "a:b", '"a"',
    "a ", " a", "tfevents", "my.tfevents.1", "x.tar.gz", "1", "9", "Z", "z", "_", "A.BIN", "a\nb", "deep/er/and/deep/er/a", "ä\tb",
]  # fmt: skip
CHOSEN = [
    "*", "**", "***", "*.bin", "/a", "/a.bin", "a/", "a/b", "/a/b", "a/b/", "a//", "//a", "/", "dir/*", "dir/**", "dir/**/a.bin",
    "**/a", "**/a.bin", "**/b/c", "a/**/b", "a/**/**/b", "a/*/b", "a/**b", "a**/b", "a/**", "a/**/", "a/foo**", "a/foo**/bar",
    "foo**bar", "foo/**bar", "**foo/bar", "**/foo/**/bar", "foo/***/bar", "*/", "*/a", "*/*", "*/*/*", "saved_model/**/*", "?", "??",
    "a?b", "?/b", "é", "[é]", "??é", "[a-z]", "[!a-z]", "[^a]", "[a-]", "[-a]", "[]]", "[]-a]", "[!]a]", "[a", "a[", "[]", "[!]",
    "[[:alpha:]]", "[[:digit:][:upper:]]", "[[:foo:]]", "[[:alpha]", "[[:]", "[[:]]", "[\\]]", "[\\a-c]", "[a-\\c]", "[z-a]", "a[/]b",
    "a[b-z/]b", "a[!x]b", "a\\*b", "a\\?b", "\\a", "a\\\\b", "a\\", "\\", "\\!a", "\\#a", "a\\/b", "a/\\**", "**\\/b", "a/**\\/b",
    "*.tar.*", "*tfevents*", "*a*", "*a*b*", "a*b*c", "x*", "*-*", "[[:space:]]", "a[[:blank:]]b", "[a-a]", "[--Z]", "[+--]", "^", ".",
    "[[:alnum:]-z]*", "[0-9]", "[!0-9]*", "a.bin/", "dir/sub", "dir/sub/", "sub", "sub/", "sub/a.bin", "deep/**/deep/**/a", "*.BIN",
]  # fmt: skip


def made(seed: int, count: int) -> list[str]:
    """Patterns of the characters that mean something, and of those in `PATHS`."""
    source = random.Random(seed)
    pieces = [
        "*",
        "*",
        "**",
        "**/",
        "/**",
        "?",
        "/",
        "/",
        "a",
        "a",
        "b",
        "foo",
        "bar",
        "x",
        "[",
        "]",
        "[ab]",
        "[!a]",
        "[a-f]",
        "\\",
        "-",
        "é",
        ".",
    ]
    return ["".join(source.choices(pieces, k=source.randint(1, 7))) for _ in range(count)]


def git(folder: Path, *arguments: str, sent: bytes) -> bytes:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *arguments], input=sent, capture_output=True, check=False, cwd=folder, env=environment
    )
    # 1 means that nothing was found.
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", sent=b"")
    return tmp_path


def listed(paths: Sequence[str]) -> bytes:
    return b"".join(path.encode() + b"\0" for path in paths)


@pytest.mark.parametrize("patterns", [CHOSEN, made(1, 1500), made(2, 1500)], ids=["chosen", "made1", "made2"])
def test_each_pattern_matches_what_git_says(checkout: Path, patterns: list[str]) -> None:
    """Each pattern sets an attribute of its own, so that git answers for all of them at once."""
    patterns = [pattern for pattern in patterns if not pattern.startswith(("#", "!", '"'))]
    (checkout / ".gitattributes").write_text("".join(f"{text} p{number}\n" for number, text in enumerate(patterns)))
    answer = git(checkout, "check-attr", "--stdin", "-z", "-a", sent=listed(PATHS)).split(b"\0")
    said = {
        (path.decode(), int(name[1:]))
        for path, name in zip(answer[::3], answer[1::3], strict=False)
        if name[:1] == b"p"
    }
    assert len(said) > 100
    ours = set()
    for number, text in enumerate(patterns):
        pattern = Pattern(text.encode())
        ours |= {(path, number) for path in PATHS if not pattern.folders_only and pattern.matches(path.encode())}
    different = [(patterns[number], path, (path, number) in said) for path, number in said ^ ours]
    assert not different


IGNORES = [
    "*.tmp\n!keep.tmp\n", "build/\n!build/keep\n", "/a\n", "a\n!dir/a\n", "dir/\n", "dir/*\n!dir/sub\n", "**/sub\n", "*\n!*/\n!*.bin\n",
    "# a\n\\#a\n", "!a\n", "*\n!a\n\\!a\n", "a \n", "a\\ \n", "a\\\\ \n", " a\n", "\n\n  \n", "a\r\nb\r\n", "\ufeffa\n", "a\x0bb\na\u2028b\n",
    "*\n\n!a", "a/b", "!", "/", "//", "*/\n", "a/**\n!a/x\n", "a/**\n!a/x/\n!a/x/**\n", "deep/\n!deep/er/\n", "a b\na\nb\n", "a\\",
    "a\t\n", "dir\n!dir\n", "foo*\n!foobar\n", "x/\na/x\n", "[a-c]\n!b\n", "a/foo**\n", "\\ a\n", "*  \n!a  \n",
]  # fmt: skip


@pytest.mark.parametrize("text", IGNORES, ids=ascii)
def test_gitignore_is_read_as_git_reads_it(checkout: Path, text: str) -> None:
    (checkout / ".gitignore").write_bytes(text.encode())
    said = git(checkout, "check-ignore", "--no-index", "--stdin", "-z", sent=listed(PATHS)).decode().split("\0")[:-1]
    rules = Ignored(text.encode())
    assert [path for path in PATHS if path in rules] == said


def test_made_gitignores_are_read_as_git_reads_them(checkout: Path) -> None:
    for seed in range(60):
        source = random.Random(seed)
        lines = [
            source.choice(["", "", "!"]) + pattern + source.choice(["", "", "/", " "])
            for pattern in made(seed + 100, 8)
        ]
        text = "\n".join(lines).encode()
        (checkout / ".gitignore").write_bytes(text)
        said = (
            git(checkout, "check-ignore", "--no-index", "--stdin", "-z", sent=listed(PATHS)).decode().split("\0")[:-1]
        )
        rules = Ignored(text)
        assert [path for path in PATHS if path in rules] == said, text


LFS = "filter=lfs diff=lfs merge=lfs -text"
ATTRIBUTES = [
    f"*.bin {LFS}\n", f"*.bin {LFS}\ndir/*.bin -filter\n", f"* {LFS}\n*.bin !filter\n", f"* {LFS}\na filter\n", "a filter=other\n",
    f"* {LFS}\n*.bin text\n", f"* {LFS}\na filter=\n", f"# a\n#a {LFS}\n", f"  *.bin\t{LFS}\r\n", f"!a {LFS}\n", f"\ufeffa {LFS}\n",
    f'"a b" {LFS}\n', f'"a\\tb" {LFS}\n"\\303\\251" {LFS}\n', f'"a {LFS}\n', f'"a"x {LFS}\n', f'"\\q" {LFS}\n', f'"a\\"" {LFS}\n',
    f"[attr]large {LFS}\n*.bin large\n", f"[attr]large {LFS}\n*.bin large\ndir/* -filter\n", f"*.bin large\n[attr]large {LFS}\n",
    f"[attr]large {LFS}\n[attr]huge large\n*.bin huge\n", "[attr]loop filter=lfs loop\n* loop\n", f"[attr]large {LFS}\n* -large\n",
    f"[attr]large {LFS}\n* large=yes\n", f"* {LFS}\n* binary\n", "* filter=lfs filter=other\n", "* filter=other filter=lfs\n",
    "* filter=lfs -filter\n", "* filter=lfs !filter\n", f"a/ {LFS}\n", f"* {LFS} a/b\n", f"* {LFS} =\n", f"* {LFS} -\n", "* -filter=lfs\n",
    f"a{'x' * 2100} {LFS}\n* {LFS}\n", f"* {LFS} {'y' * 2100}\n", "*\n", f"a/foo** {LFS}\n", f"[attr] {LFS}\n", f"saved_model/**/* {LFS}\n",
    f"* {LFS}\n[attr]none -filter\na none\n", "a filter=lfs\x0bx\n", f"a\x0b {LFS}\n", f"*.bin {LFS}\n\n\n*.BIN {LFS}",
]  # fmt: skip


@pytest.mark.parametrize("text", ATTRIBUTES, ids=lambda text: ascii(text)[:50])
def test_gitattributes_is_read_as_git_reads_it(checkout: Path, text: str) -> None:
    (checkout / ".gitattributes").write_bytes(text.encode())
    answer = git(checkout, "check-attr", "--stdin", "-z", "filter", sent=listed(PATHS)).split(b"\0")
    assert len(answer) == 3 * len(PATHS) + 1
    said = {
        path.decode(): {b"lfs": True, b"unspecified": None}.get(value, False)
        for path, value in zip(answer[::3], answer[2::3], strict=False)
    }
    rules = LfsRules(text.encode())
    assert {path: rules.lfs(path) for path in PATHS} == said


HOSTILE = [
    "*a" * 200, "**/" * 200 + "b", "*" * 500 + "b", "**/a" * 200 + "/b", "*a" * 30 + "b", "/".join(["*a*a*a"] * 60) + "/b", "?*" * 300 + "b",
    "[a]*" * 200 + "b", "**/*a" * 100 + "b", "a**" * 200 + "/b", "*/" * 300 + "b", "**/**/" * 150 + "*b*b", "**/*/" * 150 + "b",
]  # fmt: skip


def test_hostile_patterns_are_done_in_linear_time(checkout: Path) -> None:
    """Each of these would keep a matcher that goes back for longer than anybody waits; another process is asked, which can be ended."""
    code = """
import sys
from pyxet.server.wildmatch import Pattern
paths = [b"a" * 4000, b"a/" * 2000, b"aaaa/" * 800 + b"c", b"/".join([b"a" * 250] * 16), b"a" * 200 + b"/" + b"a" * 200]
for line in sys.stdin.buffer.read().split(b"\\n"):
    print(*(int(Pattern(line).matches(path)) for path in paths))
"""  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], input="\n".join(HOSTILE).encode(), capture_output=True, check=True, timeout=120
    )
    assert len(done.stdout.splitlines()) == len(HOSTILE)


def test_what_many_patterns_may_cost_has_an_end() -> None:
    hostile = "\n".join(f"{'*a' * 200}{number} filter=lfs" for number in range(2000)).encode()
    rules = LfsRules(hostile)
    with pytest.raises(BadRequestError, match="too many"):
        list(map(rules.lfs, ["a" * 4000] * 256))
    assert LfsRules(hostile + b"\n" + b"#" * MAX_RULES).lfs("a") is None
    assert not Pattern(b"*a" * MAX_PATTERN).matches(b"a" * 2 * MAX_PATTERN)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint() as running:
        yield running


def test_the_endpoint_is_not_held_up(endpoint: LocalEndpoint) -> None:
    """Other requests are answered while hostile rules are applied: nothing holds the interpreter for long."""
    client = RawClient(endpoint, endpoint.token)
    client.make_repo("acme/rules")
    client.write("acme/rules", {".gitattributes": "\n".join(f"{pattern} filter=lfs" for pattern in HOSTILE)})
    files = [{"path": "a" * 250 + f"/{'a/' * 100}{number}", "size": 1, "sample": "eA=="} for number in range(64)]
    answer = client.post("/api/models/acme/rules/preupload/main", {"files": files, "gitIgnore": "\n".join(HOSTILE)})
    assert answer.status == 200
    assert {file["uploadMode"] for file in answer.json["files"]} == {"regular"}
