"""Completion scripts for shells, and the answers to the requests that these scripts make.

`click` finds out which option or argument is being completed. The scripts are our own, because bash splits words at colons,
which URLs contain, and because each shell treats folders, blanks and quotes in its own way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

import click
from click.shell_completion import CompletionItem, ShellComplete

from pyxet.cli.candidates import FINAL, LOCAL, OPEN, local_names
from pyxet.cli.session import Session

VARIABLE: Final = "_XET_COMPLETE"

_BASH: Final = r"""
_xet_completion() {
    local kind value
    COMPREPLY=()
    while IFS=$'\t' read -r kind value; do
        # Quoted as names of files are; a folder is followed by no blank.
        case $kind in
            path) compopt -o filenames ;;
            open) compopt -o filenames -o nospace ;;
        esac
        COMPREPLY+=("$value")
    done < <(
        _XET_COMPLETE=bash_complete _XET_LINE="${COMP_LINE:0:COMP_POINT}" _XET_BREAKS="$COMP_WORDBREAKS" \
            "$1" 2>/dev/null </dev/null
    )
}
complete -o nosort -F _xet_completion xet
"""

_ZSH: Final = r"""
#compdef xet
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
_xet_completion() {
    local line kind value text
    local -a plain final final_shown open open_shown
    local -i local_names=0 found=1
    while IFS=$'\t' read -r kind value text; do
        case $kind in
            local) local_names=1 ;;
            path) final+=("$value"); final_shown+=("${value##*/}") ;;
            open) open+=("$value"); open_shown+=("${${value%/}##*/}/") ;;
            *) plain+=("${value//:/\\:}:$text") ;;
        esac
    done < <(
        _XET_COMPLETE=zsh_complete "${(Q)~words[1]}" "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null </dev/null
    )
    (( local_names )) && _files && found=0
    (( $#plain )) && _describe -V xet plain && found=0
    (( $#open )) && compadd -S '' -d open_shown -- "${open[@]}" && found=0
    (( $#final )) && compadd -d final_shown -- "${final[@]}" && found=0
    return found
}
compdef _xet_completion xet
"""

_FISH: Final = r"""
function __xet_completion
    set -l line (commandline -cp | string collect)
    for answer in (_XET_COMPLETE=fish_complete _XET_LINE="$line" xet 2>/dev/null </dev/null)
        # What comes first says how other shells treat it.
        string replace -r '^[^\t]*\t' '' -- $answer
    end
end
complete --command xet --no-files --keep-order --arguments '(__xet_completion)'
"""

SCRIPTS: Final = {"bash": _BASH.lstrip(), "zsh": _ZSH.lstrip(), "fish": _FISH.lstrip()}


class Typed(NamedTuple):
    """A command line up to the cursor.

    Attributes
    ----------
    words:
        The words after the program, without the last one.
    last:
        The word that is being typed, without quotes.
    kept:
        How many characters at the beginning of ``last`` stay when the shell inserts a candidate.
    """

    words: list[str]
    last: str
    kept: int


def answer(app: click.Command, session: Session, request: str) -> int:
    """Write the candidates for a shell's request to standard output, one on a line, and return the exit code."""
    shell = request.partition("_")[0]
    if shell not in SCRIPTS:
        return 1
    click.echo(_Shell(shell, app, session).complete())
    return 0


class _Shell(ShellComplete):
    """One completion request of a shell."""

    def __init__(self, shell: str, app: click.Command, session: Session) -> None:
        super().__init__(app, {"obj": session}, "xet", VARIABLE)
        self._shell = shell
        if shell == "zsh":
            *words, last = sys.argv[1:] or [""]
            self._typed = Typed(words, last, 0)
        else:
            self._typed = split(os.environ.get("_XET_LINE", ""), os.environ.get("_XET_BREAKS", ""))

    def get_completion_args(self) -> tuple[list[str], str]:
        return self._typed.words, self._typed.last

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        # For --option=value, some candidates are values without the option, which is added here.
        option, equals, _ = incomplete.partition("=") if incomplete.startswith("--") else ("", "", "")
        found = []
        for item in super().get_completions(args, incomplete):
            items = local_names(item.value) if item.type == LOCAL and self._shell != "zsh" else iter([item])
            for each in items:
                value = str(each.value)
                if equals and not value.startswith(f"{option}="):
                    value = f"{option}={value}"
                found.append(CompletionItem(value, each.type, each.help))
        return found

    def complete(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for item in self.get_completions(*self.get_completion_args()):
            value = item.value[self._typed.kept :]
            if any(letter in value for letter in "\t\n\r"):
                continue
            text = " ".join((item.help or "").split()) if self._shell != "bash" else ""
            kind = item.type if item.type in (FINAL, OPEN, LOCAL) else "plain"
            yield f"{kind}\t{value}\t{text}" if text else f"{kind}\t{value}"


def split(line: str, breaks: str = "") -> Typed:
    """Split a command line into words as a shell does.

    Parameters
    ----------
    line:
        The command line up to the cursor; a quote may be open.
    breaks:
        Characters that end what the shell keeps of the last word: it replaces only what follows them (``COMP_WORDBREAKS``
        of bash).
    """
    words: list[str] = []
    word, kept, begun, quote = "", 0, False, ""
    letters = iter(line)
    for letter in letters:
        if quote:
            if letter == quote:
                quote, kept = "", 0
            elif letter == "\\" and quote == '"':
                following = next(letters, "")
                word += following if following in '"\\$`' else letter + following
            else:
                word += letter
        elif letter in "'\"":
            # The shell keeps an open quote, and what is before it in the word.
            quote, begun, kept = letter, True, len(word)
        elif letter.isspace():
            if begun:
                words.append(word)
            word, kept, begun = "", 0, False
        else:
            word += next(letters, "") if letter == "\\" else letter
            begun = True
            if letter in breaks:
                kept = len(word)
    words = _without_assignments(words)
    return Typed(words[1:], word, kept)


def _without_assignments(words: list[str]) -> list[str]:
    """The words without assignments in front of the program: ``XET_ENDPOINT=local xet ls`` becomes ``xet ls``."""
    while words and "=" in words[0] and words[0].partition("=")[0].isidentifier():
        words = words[1:]
    return words
