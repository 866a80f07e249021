"""The JSON of the Hub's discussions and pull requests as typed structs, shared by the client and the local endpoint.

Nothing published specifies these messages; the fields are those that `huggingface_hub` sends and reads.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from pyxet.protocol.messages import Count, HubStruct

Status: TypeAlias = Literal["draft", "open", "closed", "merged"]


class DiscussionAuthor(HubStruct, omit_defaults=False):
    """``deleted`` stands for somebody who has no account any more."""

    name: str = "deleted"


class DiscussionRepo(HubStruct, omit_defaults=False):
    """A repository as ``owner/name`` and type."""

    name: str
    type: str = "model"


class Discussion(HubStruct, omit_defaults=False):
    """One discussion or pull request, as lists have it."""

    num: Count
    title: str
    status: str
    created_at: str
    is_pull_request: bool
    author: DiscussionAuthor = msgspec.field(default_factory=DiscussionAuthor)
    repo: DiscussionRepo | None = None


class DiscussionList(HubStruct, omit_defaults=False):
    """A page of discussions, newest first: ``count`` is how many there are in all, ``start`` how many come before."""

    discussions: list[Discussion]
    count: Count
    start: Count = 0


class DiscussionEvent(HubStruct, omit_defaults=False):
    """What happened in a discussion: what ``data`` has depends on ``type``, which may be one that is not known here."""

    id: str
    type: str
    created_at: str
    author: DiscussionAuthor = msgspec.field(default_factory=DiscussionAuthor)
    data: dict[str, Any] = msgspec.field(default_factory=dict)


class DiscussionChanges(HubStruct):
    """Of a pull request: the reference that it changes, and the commit that merged it, if it was."""

    base: str
    merge_commit_id: str | None = None


class DiscussionDetails(Discussion, omit_defaults=False):
    """One discussion with all that happened in it. ``files_with_conflicts`` is true where there are some that are not told."""

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
