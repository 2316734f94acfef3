"""Compiler options: the documented ones parse, the others are refused with a hint."""

from __future__ import annotations

import pytest

from neff.errors import OptionError
from neff.options import OPTIONS, SWITCHES, CompileOptions, parse_options, require_built


@pytest.mark.parametrize("arguments", [None, "", []])
def test_defaults_are_the_documented_ones(arguments):
    options = parse_options(arguments)
    assert options == CompileOptions()
    assert (options.auto_cast, options.auto_cast_type, options.optlevel) == ("none", "bf16", "2")


def test_string_and_list_mean_the_same():
    words = ["--auto-cast", "matmult", "--auto-cast-type=fp16", "-O1", "--target", "trn1"]
    options = parse_options(words)
    assert parse_options(" ".join(words)) == options
    assert (options.auto_cast, options.auto_cast_type) == ("matmult", "fp16")
    assert (options.optlevel, options.target) == ("1", "trn1")


def test_the_rightmost_option_wins():
    assert parse_options("--optlevel 1 --optlevel=3 -O2").optlevel == "2"
    switched = "--enable-mixed-precision-accumulation --disable-mixed-precision-accumulation"
    assert parse_options(switched).mixed_precision_accumulation == "off"


@pytest.mark.parametrize("flag", OPTIONS)
def test_every_option_takes_each_of_its_choices(flag):
    option = OPTIONS[flag]
    for choice in option.choices or ("all",):
        assert getattr(parse_options([flag, choice]), option.name) == choice
        assert getattr(parse_options([f"{flag}={choice}"]), option.name) == choice


@pytest.mark.parametrize("flag", SWITCHES)
def test_every_switch_sets_its_field(flag):
    name, value = SWITCHES[flag]
    assert getattr(parse_options(flag), name) == value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--autocast none", "unknown compiler option '--autocast'\n  try: --auto-cast"),
        ("zzz", "unknown compiler option 'zzz'\n  known options: --auto-cast,"),
        ("model.hlo", "unknown compiler option 'model.hlo'"),
        ("--auto-cast sometimes", "--auto-cast must be one of none, matmult, all, got 'sometimes'"),
        ("--auto-cast", "--auto-cast needs a value"),
        ("--auto-cast --target trn1", "--auto-cast needs a value"),
        ("-O7", "-O must be one of 1, 2, 3, got '7'"),
        ("--enable-saturate-infinity=1", "--enable-saturate-infinity takes no value, got '1'"),
        ("--implicit-integer-downcast dot,mul", "must be one of default, all, none, dot"),
        ([3], "arguments must be strings, got 3"),
    ],
)
def test_bad_options_are_refused(arguments, message):
    with pytest.raises(OptionError) as error:
        parse_options(arguments)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        "--auto-cast all",
        "--disable-mixed-precision-accumulation",
        "--enable-saturate-infinity",
        "--native-int64 disabled",
        "--lnc 2",
    ],
)
def test_options_whose_effect_is_not_built_are_refused(arguments):
    with pytest.raises(NotImplementedError, match="is not emulated yet"):
        require_built(parse_options(arguments))
