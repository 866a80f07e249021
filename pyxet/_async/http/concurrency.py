"""Decides how many requests an origin gets at once, and meters bandwidth. No I/O: the time is passed as an argument.

An origin is asked by a few requests at first. Their number doubles every round trip while answers come as fast as
before, then grows slowly, and shrinks where it is too large: at once where the endpoint says so (429, 503) or does not
answer in time, gently where requests only wait for each other.

"As fast as before" compares a request with others of its kind and size: by the time to the first byte of the answer, or
by seconds per byte if much is moved. If that time rises, there may be too many requests at once, or the endpoint or the
network may have become slow by itself. A trial with fewer requests decides: if they move less in total, the requests had
not been waiting for each other, and the best time is learnt anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

# Requests at once to an origin that is new.
START: Final = 16
# Slow answers alone never reduce the number below this, even if one or two requests would fill the link.
FLOOR: Final = 8
# Where more bytes are moved than this, seconds per byte are compared, not seconds to the first byte.
LARGE: Final = 256 * 1024
# What a request costs beside its bytes, in bytes: makes the throughput of small and of large requests one number.
_REQUEST: Final = 32 * 1024
# Speeds, as shares of the best: from the upper one on, there is room for more; below the lower one, too many wait.
_FAST: Final = 0.67
_SLOW: Final = 0.5
# Trials multiply the window by _FEWER or _MORE. If requests do not wait for each other, the throughput changes by the same
# factor; _LOST and _WON stand for half of that change.
_FEWER: Final = 0.7
_MORE: Final = 1.4
_LOST: Final = 0.85
_WON: Final = 1.2
# Rounds without a change after which a trial with more requests is made.
_QUIET: Final = 16
_MAX_KINDS: Final = 256


@dataclass(slots=True)
class _Round:
    """About as many answers as there are requests at once."""

    began: float
    work: float = 0.0
    answers: int = 0
    highest: int = 0
    # Time per unit and kind of each answer.
    samples: list[tuple[tuple[str, int], float]] = field(default_factory=list)


@dataclass(slots=True)
class _Trial:
    """A change of the window whose result is awaited: what it was before, and the throughput then."""

    window: float
    rate: float
    # The first round still has answers to requests from before the change.
    begun: bool = False


class ConcurrencyController:
    """The number of requests that one origin gets at once. Not safe for several threads.

    Attributes
    ----------
    window:
        How many, as a fraction; see `allowed`.
    paused_until:
        No request is sent before, as the endpoint asked for that.
    """

    def __init__(self) -> None:
        self.window = float(START)
        self.paused_until = 0.0
        self._doubling = True
        self._in_doubt = False
        self._cut_at = float("-inf")
        # The window that was too large for the endpoint, and whether it has answered since.
        self._too_large = float("inf")
        self._answers_since = True
        self._fastest: dict[tuple[str, int], float] = {}
        self._round: _Round | None = None
        self._last_rate = 0.0
        self._trial: _Trial | None = None
        self._quiet = 0

    @property
    def allowed(self) -> int:
        """How many requests at once."""
        return int(self.window)

    def answered(
        self, sent: float, first_byte: float, now: float, *, kind: str, size: int, in_flight: int, cap: int
    ) -> bool:
        """Note that an answer has come; whether the number of requests may be another one by now.

        Parameters
        ----------
        sent, first_byte, now:
            When the request was sent, when its answer began, and when that ended, in seconds.
        kind:
            What was asked for: requests of one kind are compared with each other.
        size:
            Bytes of content that were moved in either direction.
        in_flight:
            Requests to this origin at once, this one included.
        cap:
            The most there may be, whatever the speed.
        """
        self._answers_since = True
        this = self._round
        if this is None:
            this = self._round = _Round(sent)
        this.answers += 1
        this.work += size + _REQUEST
        this.highest = max(this.highest, in_flight)
        if size <= LARGE:
            this.samples.append(((kind, 0), first_byte - sent))
        else:
            this.samples.append(((kind, size.bit_length()), (now - sent) / size))
        if this.answers < max(4, self.allowed):
            return False
        self._end_round(this, now, cap)
        return True

    def refused(self, sent: float, now: float, *, in_flight: int, pause: float = 0.0) -> None:
        """Note that the endpoint refused a request, or did not answer in time.

        Parameters
        ----------
        sent, in_flight:
            As for `answered`. Several refusals of requests that were in flight together count once.
        pause:
            Seconds the endpoint asked for.
        """
        self.paused_until = max(self.paused_until, now + pause)
        if sent > self._cut_at:
            used = min(self.window, float(in_flight))
            if self._answers_since:
                self._too_large = used
                self._answers_since = False
            self.window = max(1.0, used / 2)
            self._cut_at = now
            self._settle(None)
            self._doubling = False

    def _settle(self, trial: _Trial | None) -> None:
        self._trial = trial
        self._round = None
        self._quiet = 0

    def _end_round(self, this: _Round, now: float, cap: int) -> None:
        rate = this.work / max(now - this.began, 1e-9)
        speed = self._speed(this)
        self._round = _Round(now)
        limited = this.highest >= min(self.allowed, cap)
        if not limited and not (self._trial and self._trial.begun):
            # Fewer requests were made than the window allows, so the round says nothing about the window.
            return
        if self._trial is not None:
            self._judge(self._trial, this, rate)
        elif self._doubling:
            if speed >= _SLOW or rate >= self._last_rate * _WON:
                self._in_doubt = False
                # Where it may not grow further, only a trial tells whether it should be smaller.
                self._doubling = self.window < cap
                self._grow(self.window, cap)
            elif not self._in_doubt:
                # Half of these requests may have had to open their connections; the next ones have not.
                self._in_doubt = True
                return
            else:
                # The last doubling brought nothing but waiting.
                self._doubling = False
                self.window = max(float(FLOOR), self.window / 2)
        elif speed >= _FAST:
            if self.window > self._too_large * _MORE:
                self._too_large = float("inf")
            careful = self.window >= self._too_large / 2
            self._grow(self.window / 64 if careful else max(1.0, self.window / 8), cap)
        elif speed < _SLOW and self.window > FLOOR:
            self._settle(_Trial(self.window, rate))
            self.window = max(float(FLOOR), self.window * _FEWER)
        else:
            self._quiet += 1
            if self._quiet >= _QUIET and self.window < cap:
                self._settle(_Trial(self.window, rate))
                self._grow(self.window * (_MORE - 1) + 1, cap)
        self._last_rate = rate

    def _grow(self, more: float, cap: int) -> None:
        # Somebody else may have a higher cap.
        self.window = max(self.window, min(self.window + more, float(cap)))

    def _judge(self, trial: _Trial, this: _Round, rate: float) -> None:
        if not trial.begun:
            trial.begun = True
            return
        needed = rate >= trial.rate * _WON if self.window > trial.window else rate < trial.rate * _LOST
        if needed:
            # More requests at once do move more, so what looked slow is as fast as it gets.
            self.window = max(self.window, trial.window)
            for kind, best in _best_of(this).items():
                self._fastest[kind] = best
        elif self.window > trial.window:
            self.window = trial.window
        self._trial = None
        self._quiet = 0

    def _speed(self, this: _Round) -> float:
        """Speed of a round as a share of the best: that of its faster answers, of which a quarter is above it.

        The slowest say little: some had to open a connection first.
        """
        for kind, best in _best_of(this).items():
            self._fastest[kind] = min(best, self._fastest.pop(kind, best))
        while len(self._fastest) > _MAX_KINDS:
            del self._fastest[next(iter(self._fastest))]
        speeds = sorted((self._fastest.get(kind, cost) / max(cost, 1e-9) for kind, cost in this.samples), reverse=True)
        return min(1.0, speeds[len(speeds) // 4])


def _best_of(this: _Round) -> dict[tuple[str, int], float]:
    best: dict[tuple[str, int], float] = {}
    for kind, cost in this.samples:
        best[kind] = min(cost, best.get(kind, cost))
    return best


class Meter:
    """Shares a rate of bytes per second among callers, in the order of their calls. Not safe for several threads.

    Each call is told how long to wait before it may use its bytes. There is no queue, so no caller has to be woken, and a
    caller that gives up leaves nothing behind.
    """

    # Seconds without calls that may be caught up: callers may all have been busy then.
    SLACK: Final = 0.1

    def __init__(self) -> None:
        self._paid_until = float("-inf")

    def charge(self, amount: int, rate: int, now: float) -> float:
        """Seconds until a number of bytes may be used, at a rate of bytes per second."""
        self._paid_until = max(self._paid_until, now - self.SLACK) + amount / rate
        return max(0.0, self._paid_until - now)

    def refund(self, amount: int, rate: int) -> None:
        """Take back a charge for what was not used; those who already wait do not wait less."""
        self._paid_until -= amount / rate


def piece_size(rate: int | None, largest: int) -> int:
    """Bytes to move at once: small enough for a rate to be even, a sixteenth of a second at most."""
    return largest if rate is None else max(1024, min(largest, rate // 16))
