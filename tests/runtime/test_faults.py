"""Faults on request: which call they strike, what it ends with, and that nothing stays locked."""

from __future__ import annotations

import math
import time

import pytest

from runtime.faults import Fault, active, inject_fault, parse_fault, strike
from runtime.status import NeuronRuntimeError, Status


def test_the_nth_call_on_a_core_fails():
    with inject_fault("execute", nth=2, core=1, status="NRT_HW_ERROR") as fault:
        assert not strike("execute", 1, math.inf)
        assert not strike("execute", 0, math.inf)  # another core does not count
        assert not strike("load", 1, math.inf)  # nor does another call
        with pytest.raises(NeuronRuntimeError, match="Hardware failure") as caught:
            strike("execute", 1, math.inf)
        assert caught.value.status is Status.NRT_HW_ERROR
        assert not strike("execute", 1, math.inf)
        assert fault.seen == 3
    assert active() == ()


def test_some_or_all_calls_after_it():
    with inject_fault("load", times=2, status=4):
        for _ in range(2):
            with pytest.raises(NeuronRuntimeError, match="Failed to allocate a resource"):
                strike("load", 0, math.inf)
        strike("load", 0, math.inf)
    with inject_fault("load", times=0, status=Status.NRT_RESOURCE):
        for _ in range(5):
            with pytest.raises(NeuronRuntimeError):
                strike("load", 0, math.inf)


def test_a_late_call_times_out_when_it_would():
    with inject_fault("execute", delay=0.02):
        start = time.perf_counter()
        assert not strike("execute", 0, 1.0)
        assert time.perf_counter() - start >= 0.02
    with (
        inject_fault("execute", delay=60),
        pytest.raises(NeuronRuntimeError, match="Operation timed out"),
    ):
        strike("execute", 0, 0.01)


def test_not_a_number():
    with inject_fault("execute", nan=True):
        assert strike("execute", 0, math.inf)
        assert not strike("execute", 0, math.inf)


def test_the_text_of_a_fault():
    fault = parse_fault(" execute nth=3 core=0 times=0 status=NRT_TIMEOUT delay=0.5 nan=1")
    assert (fault.call, fault.nth, fault.core, fault.times) == ("execute", 3, 0, 0)
    assert (fault.status, fault.delay, fault.nan) == (Status.NRT_TIMEOUT, 0.5, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run status=1", "must be one of load, execute, got run"),
        ("execute", "one of status, delay and nan must be given"),
        ("execute color=1", "a fault has nth, core, times, status, delay, nan, got 'color=1'"),
        ("execute status=NRT_NEVER", "status cannot be 'NRT_NEVER'"),
        ("execute status=77", "status cannot be '77'"),
        ("execute nan=maybe", "nan cannot be 'maybe'"),
        ("execute nth=0 status=1", "nth must be at least 1"),
        ("load nan=1", "only an execution can give NaN"),
    ],
)
def test_what_is_no_fault(text, message):
    with pytest.raises(ValueError, match=message):
        parse_fault(text)


def test_counting_needs_a_call():
    with pytest.raises(ValueError, match="at least 1"):
        Fault("execute", nth=0, status=Status.NRT_FAILURE)
