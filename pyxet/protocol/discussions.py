"""The JSON of the Hub's discussions and pull requests as typed structs, shared by the client and the local endpoint.

Nothing published specifies these messages; the fields are those that `huggingface_hub` sends and reads.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from pyxet.protocol.messages import Count, HubStruct

Status: TypeAlias = Literal["draft", "open", "closed", "merged"]


class DiscussionAuthor(HubStruct, omit_defaults=False):
    """A user by name; ``deleted`` if the account does not exist any more."""

    name: str = "deleted"


class DiscussionRepo(HubStruct, omit_defaults=False):
    """A repository as ``owner/name`` and type."""

    name: str
    type: str = "model"


class Discussion(HubStruct, omit_defaults=False):
    """One discussion or pull request, as it appears in lists."""

    num: Count
    title: str
    status: str
    created_at: str
    is_pull_request: bool
    author: DiscussionAuthor = msgspec.field(default_factory=DiscussionAuthor)
    repo: DiscussionRepo | None = None


class DiscussionList(HubStruct, omit_defaults=False):
    """A page of discussions, newest first: ``count`` is the number of all, ``start`` the number of those on earlier pages."""

    discussions: list[Discussion]
    count: Count
    start: Count = 0


class DiscussionEvent(HubStruct, omit_defaults=False):
    """An event in a discussion. The fields of ``data`` depend on ``type``, which may be one that is not known here."""

    id: str
    type: str
    created_at: str
    author: DiscussionAuthor = msgspec.field(default_factory=DiscussionAuthor)
    data: dict[str, Any] = msgspec.field(default_factory=dict)


class DiscussionChanges(HubStruct):
    """The reference that a pull request changes, and the commit that merged it, if it is merged."""

    base: str
    merge_commit_id: str | None = None


class DiscussionDetails(Discussion, omit_defaults=False):
    """One discussion with all its events. ``files_with_conflicts`` is ``True`` if there are conflicts in unnamed files."""

    events: list[DiscussionEvent] = msgspec.field(default_factory=list)
    changes: DiscussionChanges | None = None
    files_with_conflicts: list[str] | bool | None = None
    diff: str | None = None


class CreateDiscussion(HubStruct, omit_defaults=False):
    title: str
    description: str = ""
    pull_request: bool = False


class DiscussionCreated(HubStruct, omit_defaults=False):
    num: Count
    url: str = ""


class NewComment(HubStruct, omit_defaults=False):
    comment: str


class NewTitle(HubStruct, omit_defaults=False):
    title: str


class NewStatus(HubStruct):
    """``closed``, or ``open``, which also ends a draft."""

    status: Literal["open", "closed"]
    comment: str | None = None


class Merge(HubStruct):
    comment: str | None = None


class EditedComment(HubStruct, omit_defaults=False):
    content: str
