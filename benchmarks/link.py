"""A simulated network between a client and a server on this machine, with latency and bandwidth, for rows about remote users.

``link.py PORT``: a proxy for TCP in front of a port of this machine, at `DELAY` seconds each way and `RATE` bytes a second
in each direction, which all connections share. As on a real network, it takes a round trip to open a connection, and its
window (the bytes that may be in transit) starts small and grows with each byte that arrives. The first line of standard
output is the URL at which it listens; it ends when its standard input does.

One thread, no copies but those of the kernel: it costs about a tenth of a core at full rate, and rows say how much.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from itertools import count

# Half of a round trip of 80 ms, in seconds; and 1 Gbit/s.
DELAY = 0.04
RATE = 125_000_000
# How many bytes of a connection may be in transit: at first, and at most. These are the defaults of Linux.
_FIRST_WINDOW = 10 * 1460
_LAST_WINDOW = 6 * 1024 * 1024
# How much is read at once: what the link carries in a millisecond.
_PIECE = 128 * 1024
# The size of the socket buffers, which is small so that senders soon notice that the link is full.
_SOCKET = 256 * 1024


class Clock:
    """Calls that are due later, and the selector that waits for them and for sockets."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Have ``call`` called at a time of `time.monotonic`."""
        heapq.heappush(self._calls, (when, next(self._numbers), call))

    def run(self) -> None:
        """Run until a call raises `SystemExit`."""
        while True:
            wait = max(0.0, self._calls[0][0] - time.monotonic()) if self._calls else None
            for key, events in self.selector.select(wait):
                key.data(events)
            now = time.monotonic()
            while self._calls and self._calls[0][0] <= now:
                heapq.heappop(self._calls)[2]()


class Line:
    """One direction of the link, which all connections share: a byte leaves when those before it have left."""

    def __init__(self) -> None:
        self._free_at = 0.0

    def arrival(self, size: int) -> float:
        """The time at which bytes that are sent now will have arrived."""
        self._free_at = max(self._free_at, time.monotonic()) + size / RATE
        return self._free_at + DELAY


class End:
    """A socket of a connection, and which of its events are waited for."""

    def __init__(self, clock: Clock, sock: socket.socket) -> None:
        self.socket = sock
        self.on_read: Callable[[], None] = lambda: None
        self.on_write: Callable[[], None] = lambda: None
        self._selector = clock.selector
        self._events = 0
        self.is_open = True

    def wait_for(self, event: int, wanted: bool) -> None:
        """Wait for an event, or no longer."""
        events = self._events | event if wanted else self._events & ~event
        if events == self._events or not self.is_open:
            return
        if not self._events:
            self._selector.register(self.socket, events, self._called)
        elif events:
            self._selector.modify(self.socket, events, self._called)
        else:
            self._selector.unregister(self.socket)
        self._events = events

    def close(self) -> None:
        """Close it."""
        self.wait_for(self._events, False)
        self.is_open = False
        self.socket.close()

    def _called(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self.on_write()
        if events & selectors.EVENT_READ and self.is_open:
            self.on_read()


class Pipe:
    """One direction of a connection."""

    def __init__(self, clock: Clock, line: Line, source: End, target: End, ended: Callable[[bool], None]) -> None:
        self._clock = clock
        self._line = line
        self._source = source
        self._target = target
        self._ended = ended
        self._window = _FIRST_WINDOW
        self._on_the_way = 0
        # What has arrived but was not written to the target yet; an empty piece is the end.
        self._arrived: deque[memoryview] = deque()
        self._is_at_end = False
        source.on_read, target.on_write = self._read, self._write

    def open(self) -> None:
        """Begin to read."""
        self._source.wait_for(selectors.EVENT_READ, True)

    def _read(self) -> None:
        room = self._window - self._on_the_way
        if room <= 0:
            self._source.wait_for(selectors.EVENT_READ, False)
            return
        try:
            data = self._source.socket.recv(min(room, _PIECE))
        except BlockingIOError:
            return
        except OSError:
            self._ended(True)
            return
        if not data:
            self._is_at_end = True
            self._source.wait_for(selectors.EVENT_READ, False)
        self._on_the_way += len(data)
        piece = memoryview(data)
        self._clock.call_at(self._line.arrival(len(data)), lambda: self._arrive(piece))

    def _arrive(self, piece: memoryview) -> None:
        if self._target.is_open:
            self._arrived.append(piece)
            self._write()

    def _write(self) -> None:
        while self._arrived:
            piece = self._arrived[0]
            try:
                if not piece:
                    self._target.socket.shutdown(socket.SHUT_WR)
                    self._arrived.clear()
                    self._ended(False)
                    return
                sent = self._target.socket.send(piece)
            except BlockingIOError:
                self._target.wait_for(selectors.EVENT_WRITE, True)
                return
            except OSError:
                self._ended(True)
                return
            self._clock.call_at(time.monotonic() + DELAY, lambda sent=sent: self._acknowledged(sent))  # type: ignore[misc]  # a default in a lambda
            if sent == len(piece):
                self._arrived.popleft()
            else:
                self._arrived[0] = piece[sent:]
        self._target.wait_for(selectors.EVENT_WRITE, False)

    def _acknowledged(self, size: int) -> None:
        self._on_the_way -= size
        self._window = min(self._window + size, _LAST_WINDOW)
        if self._source.is_open and not self._is_at_end:
            self._source.wait_for(selectors.EVENT_READ, True)


class Link:
    """The proxy."""

    def __init__(self, port: int) -> None:
        self._clock = Clock()
        self._port = port
        self._up, self._down = Line(), Line()
        self._listener = socket.socket()
        # Set on the listener, as its connections inherit it.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(512)
        self._listener.setblocking(False)
        self.address = self._listener.getsockname()

    def run(self) -> None:
        """Serve until standard input ends."""
        self._clock.selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._clock.selector.register(sys.stdin, selectors.EVENT_READ, _end)
        self._clock.run()

    def _accept(self, _: int) -> None:
        while True:
            try:
                near, _address = self._listener.accept()
            except BlockingIOError:
                return
            far = socket.socket()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET)
            far.connect(("127.0.0.1", self._port))
            for sock in (near, far):
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client, server = End(self._clock, near), End(self._clock, far)
            ends = 0

            def ended(broken: bool, client: End = client, server: End = server) -> None:
                nonlocal ends
                ends += 2 if broken else 1
                if ends > 1:
                    client.close()
                    server.close()

            up = Pipe(self._clock, self._up, client, server, ended)
            down = Pipe(self._clock, self._down, server, client, ended)
            down.open()
            # The kernel has accepted the connection at once; on a real network the client could send only after a round trip.
            self._clock.call_at(time.monotonic() + 2 * DELAY, up.open)


def _end(_: int) -> None:
    if not sys.stdin.buffer.read1(1):  # type: ignore[union-attr]  # it is a buffered reader
        raise SystemExit


if __name__ == "__main__":
    link = Link(int(sys.argv[1]))
    print("http://{}:{}".format(*link.address), flush=True)
    link.run()
