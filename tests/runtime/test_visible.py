"""NEURON_RT_VISIBLE_CORES and NEURON_RT_NUM_CORES: grammar and precedence."""

from __future__ import annotations

import pytest

from runtime.status import NeuronRuntimeError, Status
from runtime.visible import Request, parse_visible_cores, request


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("0", range(1)),
        ("3-6", range(3, 7)),
        ("3,4,5,6", range(3, 7)),
        ("3-5,6", range(3, 7)),
        ("2, 3", range(2, 4)),
        ("5-5", range(5, 6)),
    ],
)
def test_an_index_a_range_or_a_list(text, cores):
    assert parse_visible_cores(text) == cores


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3,5,6", "must be contiguous and increasing"),
        ("4,3", "must be contiguous and increasing"),
        ("1,1", "must be contiguous and increasing"),
        ("6-3", "is not increasing"),
        ("0-99999999999", "is not increasing"),
        ("a", "must be an index, a range or a list"),
        ("-1", "must be an index, a range or a list"),
        ("1,", "must be an index, a range or a list"),
        ("1.5", "must be an index, a range or a list"),
    ],
)
def test_what_is_none_is_refused(text, message):
    with pytest.raises(NeuronRuntimeError, match=message) as caught:
        parse_visible_cores(text)
    assert caught.value.status is Status.NRT_INVALID


def test_visible_cores_wins():
    assert request("1", "2", 4) == Request(range(1, 2))
    assert request("", "2", 4) == Request(count=2)
    assert request("", "0", 4) == request("", "", 4) == Request()
    assert not request("", "0", 4).exclusive
    assert request("", "1", 4).exclusive


@pytest.mark.parametrize(
    ("visible", "number", "message"),
    [
        ("2-4", "", r"NeuronCore\(s\) not available - Requested:nc2-nc4 Available:4"),
        ("", "5", r"NeuronCore\(s\) not available - Requested:5 Available:4"),
        ("", "two", "must be a number of NeuronCores, got 'two'"),
        ("", "-1", "must be a number of NeuronCores"),
    ],
)
def test_more_than_there_is(visible, number, message):
    with pytest.raises(NeuronRuntimeError, match=message):
        request(visible, number, 4)
