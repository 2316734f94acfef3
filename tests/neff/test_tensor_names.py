"""The names that frontend attributes fix, and those that tensors have without."""

from __future__ import annotations

import pytest

from hlo_frontend.hlo.parse import parse_module
from neff.errors import CompileError
from neff.lower import lower


def names(first="", root="", module=""):
    """The names of the tensors of a module with attributes in three places."""

    def attributes(text):
        return f", frontend_attributes={{{text}}}" if text else ""

    program = lower(
        parse_module(
            f"""HloModule m{attributes(module)}
            ENTRY e {{
              p = (f32[2], f32[3]) parameter(0){attributes(first)}
              q = f32[4] parameter(1)
              a = f32[2] get-tuple-element(p), index=0
              b = f32[3] get-tuple-element(p), index=1
              ROOT r = (f32[3], f32[2], f32[4]) tuple(b, a, q){attributes(root)}
            }}"""
        )
    )
    return [v.name for v in program.inputs], [v.name for v in program.outputs]


def test_names_by_position():
    assert names() == (["input0", "input1", "input2"], ["output0", "output1", "output2"])


def test_a_parameter_names_its_tensors_and_the_root_the_results():
    inputs, outputs = names('neff_input_names="x, y"', 'neff_output_names="a,b,c"')
    assert inputs == ["x", "y", "input2"]
    assert outputs == ["a", "b", "c"]


def test_the_module_names_them_all():
    inputs, outputs = names(module='neff_input_names="x,y,z",neff_output_names="a,b,c"')
    assert (inputs, outputs) == (["x", "y", "z"], ["a", "b", "c"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"first": 'neff_input_names="x"'}, "neff_input_names of %p must list 2 names"),
        ({"root": 'neff_output_names="a,b"'}, "neff_output_names of %r must list 3 names"),
        ({"module": 'neff_input_names="x,y"'}, "neff_input_names of m must list 3 names"),
        ({"first": 'neff_input_names="input2,y"'}, r"must have distinct names, got \['input2'\]"),
    ],
)
def test_names_that_do_not_fit(given, message):
    with pytest.raises(CompileError, match=message):
        names(**given)
