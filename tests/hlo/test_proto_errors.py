"""What the reader of protobuf says of bytes it refuses."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.proto import read_module, write_module
from hlo_frontend.hlo.schema import MESSAGES
from tests.hlo import xla_reference as xla

TEXT = """HloModule m, input_output_alias={ {}: (0, {}, may-alias) }
ENTRY e {
  p = f32[2] parameter(0)
  c = f32[2] constant({1, 2})
  ROOT r = f32[2] add(p, c)
}
"""
NOT_HLO = "hlo proto: the data must be a complete serialized HloModuleProto or HloProto, got "


def proto_of(text: str = TEXT) -> Any:
    return MESSAGES["HloModuleProto"].FromString(write_module(parse_module(text)))


def test_random_bytes() -> None:
    source = random.Random(0)
    for size in [*range(64), 1000, 10_000]:
        with pytest.raises(HloError, match=NOT_HLO + f"{size} bytes that are truncated or of"):
            read_module(source.randbytes(size))


def test_other_formats() -> None:
    for data in (b"", b"PK\x03\x04", b"<html></html>", TEXT.encode(), b"\x80\x04\x95" * 10):
        with pytest.raises(HloError, match=NOT_HLO):
            read_module(data)


def test_every_truncation_is_refused_or_misses_only_the_aliases() -> None:
    data = write_module(parse_module(TEXT))
    for size in range(len(data)):
        try:
            module = read_module(data[:size])
        except HloError:
            continue
        assert module.aliases == (), size
        assert module.computations == parse_module(TEXT).computations


def test_an_hlo_proto_is_unwrapped() -> None:
    wrapped = MESSAGES["HloProto"](hlo_module=proto_of())
    assert read_module(wrapped.SerializeToString()) == parse_module(TEXT)


def _instruction(index: int) -> Callable[[Any], Any]:
    return lambda m: m.computations[0].instructions[index]


def _set(index: int, **fields: Any) -> Callable[[Any], None]:
    def change(module: Any) -> None:
        for name, value in fields.items():
            setattr(module.computations[0].instructions[index], name, value)

    return change


def _dynamic(module: Any) -> None:
    module.computations[0].instructions[0].shape.is_dynamic_dimension[:] = [True]


def _unbounded(module: Any) -> None:
    module.computations[0].instructions[0].shape.dimensions[:] = [-(2**63)]


def _element_type(module: Any) -> None:
    module.computations[0].instructions[0].shape.element_type = 99


def _operand(module: Any) -> None:
    module.computations[0].instructions[2].operand_ids[:] = [1, 77]


def _later_operand(module: Any) -> None:
    module.computations[0].instructions[0].operand_ids[:] = [3]


def _called(module: Any) -> None:
    module.computations[0].instructions[2].called_computation_ids[:] = [9]


def _root(module: Any) -> None:
    module.computations[0].root_id = 12


def _entry(module: Any) -> None:
    module.entry_computation_id = 12


def _alias(module: Any) -> None:
    module.input_output_alias.entries[0].kind = 0


def _literal(module: Any) -> None:
    module.computations[0].instructions[1].literal.f32s[:] = [b"\0" * 12]


def _layout(module: Any) -> None:
    module.computations[0].instructions[0].shape.layout.minor_to_major[:] = [1]


def _twice(module: Any) -> None:
    module.computations.append(module.computations[0])


def _unknown_field(module: Any) -> None:
    raw = bytes([0xA2, 0x06, 0x01, 0x41])  # field 100, one byte long
    module.computations[0].instructions[2].MergeFromString(raw)


def _frame(module: Any) -> None:
    module.computations[0].instructions[2].metadata.stack_frame_id = 3


CHANGES = [
    (_dynamic, "hlo proto: dimensions must be static, got f32[<=2]\n  in  %p = parameter(...)"),
    (_unbounded, "hlo proto: dimensions must be static, got f32[?]\n  in  %p = parameter(...)"),
    (_element_type, "hlo proto: element type must be one of 1 (pred), 26 (s2), "),
    (_set(2, opcode="scan"),
     f"hlo proto: opcode of %r must be one of the {len(OPS)} supported, got 'scan'"),
    (_operand, "hlo proto: operands of %r must be earlier instructions and what it calls "
     "computations of the module, got id 77"),
    (_later_operand, "hlo proto: operands of %p must be earlier instructions and what it calls "
     "computations of the module, got id 3"),
    (_called, "hlo proto: operands of %r must be earlier instructions and what it calls "
     "computations of the module, got id 9"),
    (_set(1, id=1), "hlo proto: instruction ids of e must differ, got 1 twice"),
    (_root, "hlo proto: the root of e must be one of its instructions, got id 12"),
    (_entry, "hlo proto: the entry computation must be one of the module's, got id 12"),
    (_alias, "hlo proto: alias kind must be 1 (may) or 2 (must), got 0"),
    (_literal, "hlo proto: literal f32[2] must hold 8 bytes, got 12\n  in  %c = constant(...)"),
    (_layout, "hlo proto: layout must order the 1 dimensions, got [1]\n  in  %p = parameter(...)"),
    (_twice, "hlo proto: computations must have distinct ids and names"),
    (_unknown_field, "hlo proto: an instruction must not have fields that are not supported, "
     "got field 100\n  in  %r = add(...)"),
    (_frame, "hlo proto: a stack frame must be in the module's index, got 3"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_changed_module(change: Callable[[Any], None], message: str) -> None:
    proto = proto_of()
    change(proto)
    with pytest.raises(HloError) as caught:
        read_module(proto.SerializeToString())
    assert str(caught.value).startswith(message)


def test_enumerations_out_of_range() -> None:
    text = "HloModule m\nENTRY e { s = f32[] constant(0)\n"
    proto = proto_of(text + " ROOT r = f32[3] rng(s, s), distribution=rng_uniform }")
    proto.computations[0].instructions[1].distribution = 9
    with pytest.raises(
        HloError, match=r"distribution must be one of 1 \(rng_uniform\), 2 \(rng_normal\), got 9"
    ):
        read_module(proto.SerializeToString())


def test_ids_may_carry_the_number_of_the_computation() -> None:
    proto = proto_of()
    e = proto.computations[0]
    for i in e.instructions:
        i.id += 5 << 32
    e.root_id += 5 << 32
    assert read_module(proto.SerializeToString()) == parse_module(TEXT)


def test_names_are_made_readable_as_xla_makes_them() -> None:
    proto = proto_of()
    proto.computations[0].instructions[0].name = "jit(f)/p 1"
    proto.computations[0].instructions[1].name = "1c"
    instructions = read_module(proto.SerializeToString()).entry.instructions
    assert [i.name for i in instructions] == ["jit_f__p_1", "_1c", "r"]


def test_an_absent_layout_is_row_major() -> None:
    proto = proto_of()
    for i in proto.computations[0].instructions:
        i.shape.ClearField("layout")
    assert read_module(proto.SerializeToString()) == parse_module(TEXT)


def test_source_lines_come_from_the_index_of_frames() -> None:
    proto = proto_of()
    index = proto.stack_frame_index
    index.file_names.append("model.py")
    index.file_locations.add(file_name_id=1, line=41)
    index.stack_frames.add(file_location_id=1)
    proto.computations[0].instructions[2].metadata.stack_frame_id = 1
    metadata = read_module(proto.SerializeToString()).entry.instructions[2].metadata
    assert (metadata.source_file, metadata.source_line) == ("model.py", 41)


def test_a_mesh_of_devices_is_refused_and_a_rearranged_list_read() -> None:
    text = (
        "HloModule m\nadd { a = f32[] parameter(0)\n b = f32[] parameter(1)\n"
        " ROOT r = f32[] add(a, b) }\nENTRY e { p = f32[2] parameter(0)\n"
        " ROOT r = f32[2] all-reduce(p), replica_groups=GROUPS, to_apply=add }"
    )
    listed = xla.proto_of(text.replace("GROUPS", "[2,2]<=[2,2]T(1,0)"))
    assert read_module(listed).entry.instructions[1]["replica_groups"] == ((0, 2), (1, 3))
    mesh = xla.proto_of(text.replace("GROUPS", "mesh['x'=2,'y'=2]{'x'}"))
    with pytest.raises(HloError, match="fields that are not supported, got field 93"):
        read_module(mesh)
