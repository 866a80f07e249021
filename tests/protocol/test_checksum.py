"""CRC-64/NVME: the catalogue's check value, both kernels, and an implementation that takes a bit at a time."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kernels import KERNELS

from pyxet.protocol import checksum
from pyxet.protocol.checksum import crc64_nvme
from pyxet.protocol.kernels import Kernel, load

ONES = 2**64 - 1


def bit_by_bit(data: bytes) -> int:
    register = ONES
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x9A6C9329AC4BC9B5 if register & 1 else 0)
    return register ^ ONES


@pytest.fixture(params=KERNELS, autouse=True)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setattr(checksum, "_kernel", load(request.param))
    return request.param  # type: ignore[no-any-return]


def test_the_check_value() -> None:
    assert crc64_nvme([b"123456789"]) == 0xAE8B14860A799888
    assert crc64_nvme([]) == crc64_nvme([b""]) == 0


@pytest.mark.parametrize("size", [*range(1, 40), 63, 64, 127, 128, 129, 143, 144, 255, 256, 257, 1000, 4095, 100_001])
def test_all_lengths(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert crc64_nvme([data]) == bit_by_bit(data)


@pytest.mark.parametrize("data", [bytes(1000), b"\xff" * 1000, bytes(32) + b"\xff" * 32])
def test_bytes_that_are_all_alike(data: bytes) -> None:
    assert crc64_nvme([data]) == bit_by_bit(data)


@pytest.mark.parametrize("kernel", KERNELS, indirect=True)
def test_parts_are_one_content(kernel: Kernel) -> None:
    @settings(max_examples=40, deadline=None)
    @given(st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=6))
    def check(data: bytes, cuts: list[int]) -> None:
        ends = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        view = memoryview(data)
        parts = [view[start:end] for start, end in pairwise(ends)]
        assert crc64_nvme(parts) == bit_by_bit(data)

    check()


def test_long_content_in_parts_of_other_sizes(kernel: Kernel) -> None:
    data = random.Random(7).randbytes(2_000_017)
    # What the parts of a thousand bytes give is what `test_all_lengths` holds against the definition.
    assert crc64_nvme([data]) == crc64_nvme(data[at : at + 1000] for at in range(0, len(data), 1000))
