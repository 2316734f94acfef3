"""What the reader of HLO text says of a text it cannot read, with the line."""

from __future__ import annotations

import pytest

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.parse import parse_module

HEAD = "HloModule m\nENTRY e {\n  p = f32[2] parameter(0)\n"

# What follows HEAD (or a whole text, if it opens with HloModule or less); the message.
TEXTS = [
    ("", "line 1: `HloModule` must come next, got the end of the text"),
    ("<html>", "line 1: `HloModule` must come next, got '<html>'"),
    ("HloModule m", "line 1: a computation must come next, got the end of the text"),
    ("HloModule m, speed=3\n", "line 1: an entry of the header must be input_output_alias, "),
    (
        "HloModule m\ne { p = f32[] parameter(0) }\ne { p = f32[] parameter(0) }",
        "line 3: computations must have distinct names, and one be the entry, got %e",
    ),
    (
        "HloModule m\nENTRY e { p = f32[] parameter(0) }\nENTRY d { p = f32[] parameter(0) }",
        "line 3: computations must have distinct names, and one be the entry, got ENTRY %d",
    ),
    (
        "  q = f32[2] call(p), calls=e\n}",
        "line 4: call: an attribute must be one HLO has, got calls",
    ),
    ("HloModule m\ne {\n}", "line 3: computation %e must have instructions, got none"),
    ("  q = f32[2] negate(r)\n}", "line 4: an operand must be an earlier instruction, got %r"),
    ("  q = f32[2] negate(s32[2] p)\n}", "line 4: shape of %p must be f32[2], got s32[2]"),
    ("  q = f32[2] nagate(p)\n}",
     f"line 4: opcode must be one of the {len(OPS)} supported, got nagate"),
    ("  q = f33[2] negate(p)\n}", "line 4: element type must be one of pred, s2,"),
    ("  q = f32[<=2] negate(p)\n}", "line 4: dimensions must be static, got f32[<=2]"),
    ("  q = f32[?] negate(p)\n}", "line 4: dimensions must be static, got f32[?]"),
    ("  q = f32[2,3]{1,1} negate(p)\n}",
     "line 4: layout must order the 2 dimensions, got {1,1}"),
    ("  q = negate(p)\n}", "line 4: a shape must come next, got 'negate(p)'"),
    ("  p = f32[2] negate(p)\n}", "line 4: names of instructions must differ, got %p twice"),
    ("  q = f32[2] negate(p), speed=3\n}",
     "line 4: negate: an attribute must be one HLO has, got speed"),
    ("  q = f32[2] negate(p), dimensions={0}\n}",
     "line 4: negate: attributes must be among sharding, frontend_attributes, backend_config, "
     "got dimensions"),
    ("  q = f32[2] reverse(p)\n}",
     "line 4: reverse: attributes must include dimensions, got none"),
    ("  q = f32[2] gather(p, p), slice_sizes={1}\n}",
     "line 4: gather: attributes must include offset_dims, collapsed_slice_dims, "
     "start_index_map, index_vector_dim, got none"),
    ("  q = f32[2] call(p), to_apply=f\n}",
     "line 4: a called computation must be in the module, got %f"),
    ("  q = f32[2] call(p), to_apply=e\n}", "a computation must not call itself, got %e"),
    ("  c = f32[] constant(x)\n}", "line 4: a value must come next, got 'x)'"),
    ("  c = f32[2] constant({1})\n}",
     "line 4: a constant must hold what f32[2] holds, in nested braces, got '})'"),
    ("  c = f32[2] constant({...})\n}",
     "line 4: a constant must hold what f32[2] holds, in nested braces, got '...})'"),
    ("  c = f32[2] constant({1, 2, 3})\n}",
     "line 4: a constant must hold what f32[2] holds, in nested braces, got '})'"),
    ("  c = f32[1,2] constant({1, 2})\n}",
     "line 4: a constant must hold what f32[1,2] holds, in nested braces, got '1, 2})'"),
    ("  c = f32[2] constant({1, 2", "line 4: a constant must hold what f32[2] holds"),
    ("  c = u8[] constant(256)\n}", "line 4: values must be of type u8, got '256)'"),
    ("  c = s32[] constant(1.5)\n}", "line 4: values must be of type s32, got '1.5)'"),
    ("  c = pred[] constant(2)\n}", "line 4: values must be of type pred, got '2)'"),
    ("  c = f32[] constant(nan(0x800000))\n}", "line 4: values must be of type f32, got"),
    ("  c = token[] constant(1)\n}", "line 4: a constant must be an array or a tuple, got '1)'"),
    ("  q = f32[2] reduce-window(p, p), window={size=2 stride=2x2}, to_apply=e\n}",
     "line 4: stride must hold a number for each of 1 dimensions, got 2x2"),
    ("  q = f32[2] reduce-window(p, p), window={stride=2}, to_apply=e\n}",
     "line 4: a window must have a size, got none"),
    ("  q = f32[2] reduce-window(p, p), window={speed=2}, to_apply=e\n}",
     "line 4: a window must have size, stride, pad, lhs_dilate, rhs_dilate, rhs_reversal, "
     "got speed"),
    ("  q = f32[2] convolution(p, p), dim_labels=bb0_io0->bf0\n}",
     "line 4: labels must be b f 0 once each, got bb0"),
    ("  q = f32[2] slice(p), slice={[0-1]}\n}",
     "line 4: [start:limit:stride] must come next, got '[0-1]}'"),
    ("  q = f32[2] copy(p), sharding={fast}\n}",
     "line 4: a sharding must be replicated, maximal, manual, tiled or a tuple of these, "
     "got {fast}"),
    ("  q = f32[2] copy(p), sharding={replicated", "line 4: a `{` must have its `}`, got"),
    ("  q = f32[2] all-reduce(p), replica_groups=[2,2]<=[3], to_apply=e\n}",
     "line 4: replica groups must rearrange one list of devices, got [2, 2]<=[3]T[]"),
    ('  q = f32[2] copy(p), metadata={op_name="x}\n}',
     "line 4: a quoted string must come next, got '\"x}'"),
    ("  q = f32[2] copy(p), metadata={stack_frame_id=3}\n}",
     "line 4: a stack frame must be in the module's tables, got 3"),
    (" q = f32[2] copy(p)", "line 4: a name must come next, got the end of the text"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), TEXTS)
def test_message(text: str, message: str) -> None:
    whole = text if not text.startswith(" ") else HEAD + text
    with pytest.raises(HloError) as caught:
        parse_module(whole)
    prefix = "hlo text: " if message.startswith("line") else "hlo: "
    assert str(caught.value).startswith(prefix + message)
    assert "\n" not in str(caught.value)


def test_a_signature_must_be_true() -> None:
    with pytest.raises(
        HloError, match=r"line 2: the signature of %e must be \(f32\[2\]\) -> f32\[2\]"
    ):
        parse_module(
            "HloModule m\nENTRY %e (p: f32[3]) -> f32[2] {\n ROOT %p = f32[2] parameter(0)\n}"
        )


def test_comments_percent_signs_and_layouts_are_free() -> None:
    plain = parse_module("HloModule m\nENTRY e { ROOT p = f32[2,3] parameter(0) }")
    odd = parse_module(
        "HloModule m, is_scheduled=true, buffer_donor={ (0, {}) } // a comment\n"
        "/* another */ ENTRY %e (q: f32[2,3]) -> f32[2,3] {\n"
        "  ROOT %p = f32[2,3]{1,0:T(8,128)S(1)} /*here*/ parameter(0)\n}\n\n"
    )
    assert odd == plain


def test_without_an_entry_the_last_computation_is_it() -> None:
    text = "HloModule m\na { ROOT p = f32[] parameter(0) }\nb { ROOT p = f32[] parameter(0) }"
    assert parse_module(text).entry_name == "b"


def test_source_lines_come_from_the_tables_of_frames() -> None:
    module = parse_module(
        'HloModule m\n\nFileNames\n1 "model.py"\n\nFunctionNames\n1 "f"\n\nFileLocations\n'
        "1 {file_name_id=1 function_name_id=1 line=41 end_line=41 column=4 end_column=5}\n\n"
        "StackFrames\n1 {file_location_id=1 parent_frame_id=1}\n\n"
        "ENTRY e { ROOT p = f32[] parameter(0), metadata={stack_frame_id=1} }"
    )
    metadata = module.entry.instructions[0].metadata
    assert (metadata.source_file, metadata.source_line) == ("model.py", 41)
