"""Modules of real programs survive every form, verify, and print as XLA prints them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hlo_frontend.hlo.module import NO_METADATA, HloModule
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.proto import read_module, write_module
from hlo_frontend.hlo.text import LONG, SHORT, PrintOptions, print_module
from hlo_frontend.hlo.verify import verify_module
from tests.hlo import xla_reference as xla

WITHOUT_METADATA = PrintOptions(metadata=False)


def _without_metadata(module: HloModule) -> HloModule:
    return replace(
        module,
        computations=tuple(
            replace(c, instructions=tuple(replace(i, metadata=NO_METADATA) for i in c.instructions))
            for c in module.computations
        ),
    )


def test_it_verifies(captured_proto: bytes) -> None:
    verify_module(read_module(captured_proto))


def test_protobuf_round_trip(captured_proto: bytes) -> None:
    module = read_module(captured_proto)
    data = write_module(module)
    assert read_module(data) == module
    assert write_module(read_module(data)) == data
    assert hash(read_module(data)) == hash(module)


def test_text_round_trip(captured_proto: bytes) -> None:
    module = read_module(captured_proto)
    assert parse_module(print_module(module)) == module
    assert parse_module(print_module(module, SHORT)) == _without_metadata(module)


@pytest.mark.parametrize("options", [WITHOUT_METADATA, SHORT], ids=["long", "short"])
def test_text_is_what_xla_prints(captured_proto: bytes, options: PrintOptions) -> None:
    proto = xla.normalized(captured_proto)
    ours, theirs = print_module(read_module(proto), options), xla.printed(proto, options)
    assert xla.blocks(ours) == xla.blocks(theirs)


@pytest.mark.parametrize("options", [LONG, SHORT], ids=["long", "short"])
def test_xla_reads_our_text(captured_proto: bytes, options: PrintOptions) -> None:
    module = read_module(xla.normalized(captured_proto))
    again = read_module(xla.proto_of(print_module(module, options)))
    assert xla.blocks(print_module(again, SHORT)) == xla.blocks(print_module(module, SHORT))


def test_xla_reads_our_protobuf(captured_proto: bytes) -> None:
    module = read_module(xla.normalized(captured_proto))
    again = read_module(xla.normalized(write_module(module)))
    assert xla.blocks(print_module(again)) == xla.blocks(print_module(module))


def test_we_read_what_xla_prints(captured_proto: bytes) -> None:
    proto = xla.normalized(captured_proto)
    module = read_module(proto)
    assert xla.blocks(print_module(parse_module(xla.printed(proto, LONG)))) == xla.blocks(
        print_module(module)
    )
    assert xla.blocks(print_module(parse_module(xla.printed(proto, SHORT)), SHORT)) == xla.blocks(
        print_module(module, SHORT)
    )
