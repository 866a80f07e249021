"""The login that the Hub's own tool (``hf auth login``) keeps in files. pyxet uses and renews it as that tool does.

There are two files in one folder: ``token`` has the token in use, ``stored_tokens`` (INI) has all tokens by name. For tokens
of logins in a browser, ``stored_tokens`` also has a refresh token and the time at which the token expires.
"""

from __future__ import annotations

import configparser
import io
import os
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyxet.private_files import replace_private, version_of
from pyxet.secrets import Secret

# Names of tokens that this process has seen in use. While another process renews a token, for a moment the file ``token``
# has the old one, which is no longer in ``stored_tokens`` under any name.
_names: dict[Secret, str] = {}
_MOST_NAMES: Final = 64
# The account in use, by the versions of the files that it was read from.
_seen: tuple[Hashable, Hashable] = (None, None)


@dataclass(frozen=True, slots=True)
class HubLogin:
    """A login of the Hub's tool.

    Attributes
    ----------
    token:
        The token.
    name:
        The name under which the token is stored, if it came from a login in a browser and therefore changes.
    refresh_token:
        The token for renewing it; ``None`` if it was made on the Hub's web pages.
    expires_at:
        When it expires, in Unix seconds; ``None`` if that is not known.
    """

    token: Secret
    name: str | None = None
    refresh_token: Secret | None = None
    expires_at: int | None = None

    @property
    def account(self) -> Hashable:
        """An id that stays the same when the token is renewed; ``None`` for a token that is never renewed."""
        return None if self.name is None else ("hub", str(token_file()), self.name)


def token_file() -> Path:
    """The path of the file ``token``, according to ``HF_TOKEN_PATH``, ``HF_HOME`` or ``XDG_CACHE_HOME``."""
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    path = os.environ.get("HF_TOKEN_PATH") or os.path.join(home, "token")
    return Path(os.path.expandvars(os.path.expanduser(path)))


def stored_tokens_file() -> Path:
    """The path of the file ``stored_tokens``."""
    return token_file().with_name("stored_tokens")


def hub_login() -> HubLogin | None:
    """The login in use now, or ``None``. Blocks."""
    try:
        token = clean(token_file().read_bytes().decode(errors="replace"))
    except OSError:
        return None
    if not token:
        return None
    secret = Secret(token)
    for name, fields in _stored().items():
        if clean(fields.get("hf_token", "")) == token and "refresh_token" in fields:
            if len(_names) >= _MOST_NAMES:
                _names.clear()
            _names[secret] = name
            return _login(name, fields)
    return HubLogin(secret, _names.get(secret))


def account_in_use() -> Hashable:
    """The account of the login in use, see `HubLogin.account`. The files are read only if they have changed."""
    global _seen
    versions = tuple((str(path), version_of(path)) for path in (token_file(), stored_tokens_file()))
    if _seen[0] != versions:
        login = hub_login()
        _seen = versions, login.account if login is not None else None
    return _seen[1]


def stored_login(name: str) -> HubLogin | None:
    """The login that is stored under a name, or ``None``. Blocks."""
    fields = _stored().get(name, {})
    return _login(name, fields) if clean(fields.get("hf_token", "")) else None


def store(renewed: HubLogin, old: Secret) -> None:
    """Write a renewed login to the files of the Hub's tool. The caller must hold the lock of the stored tokens.

    Parameters
    ----------
    renewed:
        The login, which has a name.
    old:
        The token before. If it is the token in use, the new one takes its place there, too.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    assert renewed.name is not None
    fields = {"hf_token": renewed.token.reveal()}
    if renewed.refresh_token is not None:
        fields["refresh_token"] = renewed.refresh_token.reveal()
    if renewed.expires_at is not None:
        fields["expires_at"] = str(renewed.expires_at)
    config = configparser.ConfigParser(interpolation=None)
    config.read_dict(dict(sorted({**_stored(), renewed.name: fields}.items())))
    text = io.StringIO()
    config.write(text)
    replace_private(stored_tokens_file(), text.getvalue())
    # The file may have been removed meanwhile (``hf auth logout``).
    with suppress(FileNotFoundError):
        if clean(token_file().read_bytes().decode(errors="replace")) == old.reveal():
            replace_private(token_file(), renewed.token.reveal())


def clean(token: str) -> str:
    """A token without surrounding blanks and line breaks, which often come with it when it is pasted or read from a file."""
    return token.replace("\r", "").replace("\n", "").strip()


def _stored() -> dict[str, dict[str, str]]:
    """All stored tokens by name; empty if the file is missing or damaged, as in the Hub's tool."""
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read_string(stored_tokens_file().read_text(encoding="utf-8"))
        return {name: dict(config.items(name)) for name in config.sections()}
    except (OSError, configparser.Error, UnicodeDecodeError):
        return {}


def _login(name: str, fields: dict[str, str]) -> HubLogin:
    refresh_token, expires_at = fields.get("refresh_token"), fields.get("expires_at", "")
    return HubLogin(
        Secret(clean(fields["hf_token"])),
        name,
        Secret(refresh_token) if refresh_token else None,
        int(expires_at) if expires_at.isascii() and expires_at.isdigit() else None,
    )
