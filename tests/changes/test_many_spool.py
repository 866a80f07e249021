"""Where small contents wait for the commit: in memory or in a file, whose room is used again."""

from __future__ import annotations

import io
import itertools
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pyxet._async.changes.spool import Spool, Spooled

MIB = 1024 * 1024


def test_spool_is_in_memory_while_it_is_small() -> None:
    spool = Spool()
    contents = [os.urandom(1000 + number) for number in range(50)]
    kept = [spool.append(data) for data in contents]
    assert isinstance(spool._file._file, io.BytesIO)
    assert [spool.read(place) for place in reversed(kept)] == contents[::-1]
    spool.close()


def test_spool_goes_to_disk_when_it_is_not() -> None:
    spool = Spool()
    contents = [os.urandom(MIB) for _ in range(10)]
    kept = [spool.append(data) for data in contents]
    assert not isinstance(spool._file._file, io.BytesIO)
    assert [spool.read(place) for place in kept] == contents
    later = spool.append(b"later")
    assert spool.read(kept[3]) == contents[3]
    assert spool.read(later) == b"later"
    spool.close()
    spool.close()


def test_a_dropped_spool_closes_without_a_warning() -> None:
    spool = Spool()
    kept = [spool.append(bytes(MIB)) for _ in range(10)]
    file = spool._file
    del spool
    assert file.closed
    del kept


def test_what_is_written_over_takes_no_room() -> None:
    spool = Spool()
    first = spool.append(b"first")
    for number in range(1000):
        # The earlier one is gone when the next but one is written.
        place = spool.append(b"%d" % number * 1000)
    assert spool.size < 5 * 4000
    assert spool.read(place) == b"999" * 1000
    del place
    spool.trim()
    assert spool.size == first.size
    assert os.fstat(spool._file.fileno()).st_size == first.size
    assert spool.read(first) == b"first"
    spool.close()
    spool.trim()


class Contents(RuleBasedStateMachine):
    """Contents that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.spool = Spool()
        self.kept: list[tuple[Spooled, bytes]] = []
        self.count = 0

    def teardown(self) -> None:
        self.spool.close()

    @rule(size=st.integers(0, 50))
    def append(self, size: int) -> None:
        self.count += 1
        data = bytes([self.count % 256]) * size
        self.kept.append((self.spool.append(data), data))

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        if self.kept:
            del self.kept[data.draw(st.integers(0, len(self.kept) - 1))]

    @rule()
    def trim(self) -> None:
        self.spool.trim()
        assert self.spool.size == max((place.offset + place.size for place, data in self.kept if data), default=0)

    @invariant()
    def all_are_there(self) -> None:
        assert all(self.spool.read(place) == data for place, data in self.kept)
        ends = sorted((place.offset, place.offset + place.size) for place, data in self.kept if data)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))


TestContents = Contents.TestCase
TestContents.settings = settings(
    max_examples=400, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
