"""Compiler options: the documented ones parse, the others are refused with a hint."""

from __future__ import annotations

import pytest

from neff.errors import OptionError
from neff.options import DOWNCASTS, OPTIONS, SWITCHES, CompileOptions, parse_options


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
        (3, "must be a string or a list of them, got 3"),
        ("--logfile 'x", 'quotes must be in pairs: No closing quotation, got "--logfile \'x"'),
    ],
)
def test_bad_options_are_refused(arguments, message):
    with pytest.raises(OptionError) as error:
        parse_options(arguments)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ("", {"dot", "scatter", "all_reduce", "reduce_scatter", "pow"}),
        ("--implicit-integer-downcast=all", set(DOWNCASTS)),
        ("--implicit-integer-downcast=none", set()),
        ("--implicit-integer-downcast=dot,pow", {"dot", "pow"}),
    ],
)
def test_downcasts_are_those_listed(arguments, allowed):
    assert parse_options(arguments).downcasts == allowed


@pytest.mark.parametrize(
    ("arguments", "narrows"),
    [
        ("", True),
        ("--target trn2", True),
        ("--target trn2 --native-int64 enabled", False),
        ("--target trn2 --native-int64 disabled", True),
        ("--target trn1 --native-int64 enabled", True),
    ],
)
def test_int64_is_native_only_where_asked_and_built(arguments, narrows):
    assert parse_options(arguments).narrows_int64 is narrows


@pytest.mark.parametrize(
    ("arguments", "cores"),
    [("", 1), ("--target trn2", 2), ("--target trn2 -lnc 1", 1), ("--target trn1 --lnc=2", 2)],
)
def test_logical_cores_are_two_on_trn2(arguments, cores):
    assert parse_options(arguments).logical_cores == cores


def test_infinity_saturates_on_the_first_targets_only():
    flag = "--enable-saturate-infinity"
    assert [
        t
        for t in OPTIONS["--target"].choices
        if parse_options([flag, "--target", t]).saturates_infinity
    ] == ["inf2", "trn1", "trn1n"]


@pytest.mark.parametrize(
    ("arguments", "ignored"),
    [
        ("--internal-hlo2tensorizer-options='--verify-hlo=true'",
         ("--internal-hlo2tensorizer-options", "--verify-hlo=true")),
        (
            "--internal-enable-dge-levels vector io -O1",
            ("--internal-enable-dge-levels", "vector", "io"),
        ),
        ("--pipeline compile SaveTemps --target trn1", ("--pipeline", "compile", "SaveTemps")),
        ("--tensorizer-options '--vectorize-strided-dma'",
         ("--tensorizer-options", "--vectorize-strided-dma")),
        ("--disable-dge", ("--disable-dge",)),
        ("--hbm-scratchpad-page-size=1024", ("--hbm-scratchpad-page-size", "1024")),
    ],
)  # fmt: skip
def test_options_without_effect_are_kept_as_a_note(arguments, ignored):
    options = parse_options(arguments)
    assert options.ignored == (ignored,)
    assert options == parse_options(
        " ".join(w for w in arguments.split() if w in ("-O1", "trn1") or w == "--target")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--disable-dge=1", "--disable-dge takes no value, got '1'"),
        ("--num-parallel-jobs", "--num-parallel-jobs needs a value"),
    ],
)
def test_ignored_options_are_still_well_formed(arguments, message):
    with pytest.raises(OptionError) as error:
        parse_options(arguments)
    assert message in str(error.value)
