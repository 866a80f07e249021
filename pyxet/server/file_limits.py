"""How large a file may be in a repository, and how many entries a folder may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from pyxet.errors import BadRequestError


@dataclass(frozen=True, slots=True)
class FileLimits:
    """The limits; ``None`` means no limit.

    Attributes
    ----------
    size:
        The most bytes of a file.
    folder_entries:
        The most entries of a folder.
    """

    size: int | None = None
    folder_entries: int | None = None

    def check_size(self, path: str, size: int) -> None:
        """Raise `BadRequestError` (413) for a file that is too large."""
        if self.size is not None and size > self.size:
            raise BadRequestError(
                f"{path} has {size:,} bytes; a file of a repository has at most {self.size:,}, so cut it into several",
                status=413,
            )


LIMITS: Final = web.AppKey("file_limits", FileLimits)
