"""Damaged files earn an HloError or still mean something whole; they never end in anything else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.module import HloModule
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.proto import read_module, write_module
from hlo_frontend.hlo.text import print_module
from hlo_frontend.hlo.verify import verify_module

TEXT = (Path(__file__).parent / "every_op.hlo").read_text()
MARKS = '{}[](),=:0129-xn"e /*'


def _accepted(module: HloModule) -> None:
    """What verifies survives every form."""
    verify_module(module)
    assert read_module(write_module(module)) == module
    assert parse_module(print_module(module)) == module


@pytest.mark.parametrize("seed", range(4))
def test_damaged_protobuf(seed: int) -> None:
    source, data = random.Random(seed), write_module(parse_module(TEXT))
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(source.randint(1, 4)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        try:
            _accepted(read_module(bytes(damaged)))
        except HloError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("seed", range(4))
def test_damaged_text(seed: int) -> None:
    source = random.Random(seed)
    refused = 0
    for _ in range(300):
        damaged = list(TEXT)
        for _ in range(source.randint(1, 3)):
            at = source.randrange(len(damaged))
            damaged[at : at + source.randint(0, 1)] = source.choice(["", *MARKS])
        try:
            _accepted(parse_module("".join(damaged)))
        except HloError:
            refused += 1
    assert refused > 200
