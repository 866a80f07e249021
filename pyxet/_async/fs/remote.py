"""Imports the modules that only requests need, shortly before the first request.

They are more than half of the client, with the HTTP library. Importing them takes a good part of a second, and must not block
an event loop. So `FileSystemBase` imports them when an instance is made for an event loop, and otherwise on the thread of the
first blocking call.
"""

from __future__ import annotations

import aiofiles

from pyxet._async import client
from pyxet._async.changes import changeset, commit, propose
from pyxet._async.download import batches, to_file
from pyxet._async.tree import diff

__all__ = ["aiofiles", "batches", "changeset", "client", "commit", "diff", "propose", "to_file"]
