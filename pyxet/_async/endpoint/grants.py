"""Sends xorbs to a CAS: by upload grants, or by the direct route (``update_261006_xorb_upload_grants``).

A grant names a URL, often of another server, to which the xorb is sent without our token. The xorb is stored in the CAS
only by the commit request that follows.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote

from pyxet._async.http.addresses import web_address
from pyxet._async.http.messages import Answer, Body, is_transient
from pyxet._async.http.transport import Transport
from pyxet._async.runtime.threads import in_thread
from pyxet.errors import (
    ConnectionFailedError,
    FormatError,
    NotSupportedError,
    RemoteError,
    RequestTimeoutError,
    ServerError,
    XetError,
)
from pyxet.protocol.cas_messages import Checksum, GrantRequest, UploadGrant, XorbInserted
from pyxet.protocol.checksum import crc64_nvme
from pyxet.protocol.constants import MIB
from pyxet.protocol.hashing import hash_to_hex
from pyxet.protocol.messages import decode
from pyxet.protocol.xorb import Xorb

# Maximum number of grants that are requested to send one xorb.
_GRANTS: Final = 3
# Checksums of at most this many bytes and slices are computed on the event loop: a worker thread would take longer to start.
_AT_ONCE: Final = MIB // 4
_FEW_SLICES: Final = 64
# Statuses of a CAS that does not have the route.
_NO_ROUTE: Final = frozenset({404, 405, 410, 501})
_METHODS: Final = frozenset({"PUT", "POST"})
# Limits of a grant: headers, characters of a header's value, characters of its id.
_MAX_HEADERS: Final = 64
_MAX_HEADER: Final = 8 * 1024
_MAX_ID: Final = 1024
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)
_VALUE = re.compile(r"[\x20-\x7e\t]*", re.ASCII)
# Headers about the use of the connection, which only the client may set.
_OURS: Final = frozenset({
    "connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip


class Call(Protocol):
    """Sends a request to the CAS with a token; see `Cas._call`."""

    def __call__(
        self, method: str, path: str, scope: Any, what: str, *, missing: bool = False, **options: Any
    ) -> Awaitable[Answer]: ...


class XorbUploads:
    """Sends xorbs to one CAS, and remembers which of the two routes the CAS has.

    Parameters
    ----------
    transport:
        Sends requests to the URLs of grants.
    call:
        Sends requests to the CAS.
    """

    def __init__(self, transport: Transport, call: Call) -> None:
        self._transport = transport
        self._call = call
        # As far as is known.
        self._has_grants = True
        self._has_direct_route = True

    async def upload(self, xorb: Xorb) -> bool:
        """Store a xorb. Returns ``False`` if it was stored already.

        Raises
        ------
        NotSupportedError
            The CAS has neither route.
        RemoteError, ConnectionFailedError, RequestTimeoutError, FormatError
            The xorb could not be stored. If grants failed and there is no direct route, the error is that of the last grant.
        """
        sending = _Sending(xorb)
        if not self._has_grants:
            try:
                return await self._send_directly(sending)
            except RemoteError as error:
                if not _is_without_route(error):
                    raise
                # The CAS may have changed to grants meanwhile.
                self._has_grants = True
        result = await self._send_by_grants(sending)
        if isinstance(result, bool):
            return result
        if self._has_direct_route or not self._has_grants:
            try:
                return await self._send_directly(sending)
            except RemoteError as error:
                if not _is_without_route(error):
                    raise
                if not self._has_grants:
                    self._has_grants = True
                    raise NotSupportedError(
                        f"{sending.what}: the CAS accepts xorbs neither by upload grants nor directly ({error.status}); its "
                        "URL may be wrong"
                    ) from result
                self._has_direct_route = False
            if _is_refused(result):
                # There is no direct route, so send by grants again, now with retries if a grant's server cannot be reached.
                again = await self._send_by_grants(sending)
                if isinstance(again, bool):
                    return again
                result = again
        if isinstance(result, RemoteError):
            # The status is about the URL of the grant, and not about the xorb or our token.
            text = f"{sending.what}: every upload grant failed; the last one was answered with {result.status}"
            raise ServerError(text, status=result.status) from result
        raise result

    async def _send_directly(self, sending: _Sending) -> bool:
        body = Body(sending.xorb.slices)
        answer = await self._call("POST", f"/v1/xorbs/default/{sending.name}", "write", sending.what, body=body)
        return decode(answer.body, XorbInserted, what=sending.what).was_inserted

    async def _send_by_grants(self, sending: _Sending) -> bool | XetError:
        """Send a xorb by up to `_GRANTS` grants, and return whether it is new.

        If all of them fail, return the error of the last one; the xorb should then be sent by the direct route.
        """
        result = await self._send_by_grant(sending)
        for _ in range(_GRANTS - 1):
            if isinstance(result, bool) or not result.is_grants_fault:
                break
            result = await self._send_by_grant(sending)
        return result if isinstance(result, bool) else result.error

    async def _send_by_grant(self, sending: _Sending) -> bool | _Failure:
        """Request a grant, send the xorb by it and commit it. Returns whether the xorb is new, or why it is not stored."""
        try:
            answer = await self._ask_for_grant(sending)
        except RemoteError as error:
            if not _is_without_route(error):
                raise
            self._has_grants = False
            return _Failure(error, is_grants_fault=False)
        except FormatError as error:
            # For example, the answer is longer than is allowed.
            return _Failure(error, is_grants_fault=False)
        if answer.status == 200:
            return False
        try:
            if answer.status != 201:
                raise FormatError(
                    f"{sending.what}: the request for an upload grant was answered with {answer.status}; expected 200 or 201"
                )
            grant = decode(answer.body, UploadGrant, what=f"{sending.what}: the upload grant")
            new = await self._send_to(grant, sending)
        except (RemoteError, ConnectionFailedError, RequestTimeoutError, FormatError) as error:
            # Another grant does not help if nothing is at the URL of this one, or if this one makes no sense.
            return _Failure(error, is_grants_fault=not (_is_refused(error) or isinstance(error, FormatError)))
        try:
            path = f"/v1/xorb-commits/default/{sending.name}/grant/{quote(grant.id, safe='')}"
            await self._call("POST", path, "write", sending.what, missing=True)
        except RemoteError as error:
            if error.status != 404 or error.code not in (None, "EntryNotFound"):
                raise
            # The CAS says that nothing was sent by the grant, or that it does not know the grant any more.
            return _Failure(error, is_grants_fault=True)
        return new

    async def _ask_for_grant(self, sending: _Sending) -> Answer:
        checksum = Checksum(algo="crc64nvme", value=str(await sending.checksum()))
        announced = GrantRequest(length=sending.size, checksum=checksum)
        path = f"/v1/xorb-grants/default/{sending.name}"
        return await self._call("POST", path, "write", sending.what, body=Body.json(announced), missing=True)

    async def _send_to(self, grant: UploadGrant, sending: _Sending) -> bool:
        """Send a xorb to the URL of a grant. Returns ``False`` if it had been sent there before (status 412)."""
        method, headers = _checked(grant, sending)
        body = Body(sending.xorb.slices, headers.pop("content-type", None))

        def may_help(error: BaseException) -> bool:
            if isinstance(error, RemoteError) and error.status == 409:
                return True
            return is_transient(error) and not (self._has_direct_route and _is_refused(error))

        try:
            await self._transport.request(
                method,
                grant.url.reveal(),
                what=sending.what,
                bearer="",
                headers=headers,
                body=body,
                retry=may_help,
            )
        except RemoteError as error:
            if error.status != 412:
                raise
            return False
        return True


class _Failure(NamedTuple):
    """Why a xorb is not stored yet, and whether another grant may help."""

    error: XetError
    is_grants_fault: bool


class _Sending:
    """A xorb that is being sent. Its checksum (CRC-64/NVME) is computed once, when it is needed."""

    def __init__(self, xorb: Xorb) -> None:
        self.xorb = xorb
        self.name = hash_to_hex(xorb.info.hash)
        self.what = f"uploading xorb {self.name[:16]}…"
        self.size = xorb.info.size
        self._checksum: int | None = None

    async def checksum(self) -> int:
        if self._checksum is None:
            slices = self.xorb.slices
            small = self.size <= _AT_ONCE and len(slices) <= _FEW_SLICES
            self._checksum = crc64_nvme(slices) if small else await in_thread(crc64_nvme, slices)
        return self._checksum


def _is_without_route(error: RemoteError) -> bool:
    """Whether the CAS lacks the route. If the answer has an error code, the route exists."""
    return error.code is None and error.status in _NO_ROUTE


def _is_refused(error: BaseException) -> bool:
    """Whether nothing is at the URL of a grant: it answers 404, or the request could not be sent."""
    if isinstance(error, RemoteError):
        return error.status == 404
    return isinstance(error, (ConnectionFailedError, RequestTimeoutError)) and not error.sent


def _checked(grant: UploadGrant, sending: _Sending) -> tuple[str, dict[str, str]]:
    """The method and headers (names in lower case) of the request that a grant asks for.

    Raises
    ------
    FormatError
        The method, a header, the URL or the id cannot be sent, or is one that a grant may not set.
    """
    what = f"{sending.what}: the upload grant"
    method = grant.method.upper()
    if method not in _METHODS:
        raise FormatError(f"{what} asks for the method {grant.method[:40]!r}; expected PUT or POST")
    if not 0 < len(grant.id) <= _MAX_ID or not grant.id.isprintable() or grant.id in (".", ".."):
        raise FormatError(f"{what} has an id of {len(grant.id):,} characters that cannot be sent in a URL")
    if len(grant.headers) > _MAX_HEADERS:
        raise FormatError(f"{what} asks for {len(grant.headers):,} headers")
    url = web_address(grant.url.reveal(), what=what)
    headers = {}
    for name, secret in grant.headers.items():
        value = secret.reveal()
        if (
            not _NAME.fullmatch(name)
            or not _VALUE.fullmatch(value)
            or len(value) > _MAX_HEADER
            or name.lower() in _OURS
        ):
            raise FormatError(f"{what} asks for the header {name[:40]!r}, which is not allowed or has an invalid value")
        headers[name.lower()] = value
    # Both are sent anyway. Grants may list them because they are often among the signed headers.
    host, length = headers.pop("host", None), headers.pop("content-length", None)
    if host is not None and host.lower() not in (url.raw_authority.lower(), (url.host_subcomponent or "").lower()):
        raise FormatError(f"{what} names another host in its Host header than in its URL")
    if length is not None and length.strip() != str(sending.size):
        raise FormatError(f"{what} is for {length[:40]!r} bytes, but the xorb has {sending.size:,}")
    return method, headers
