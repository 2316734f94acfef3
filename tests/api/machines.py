"""An emulated machine for some tests, and what is known about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from runtime.core import machine
from tests.runtime.models import fresh_machine


@contextmanager
def instance(kind: str, **settings: str) -> Iterator[None]:
    """A machine of an instance type, with other settings of the environment."""
    settings = {"NEURON_EMULATOR_INSTANCE_TYPE": kind, **settings}
    with mock.patch.dict(os.environ, settings), fresh_machine():
        yield


def memory() -> list[int]:
    """The bytes in use on each core of this process."""
    return [core.memory.total for core in machine().cores]


def loaded() -> list[int]:
    """The number of models on each core of this process."""
    return [len(core.memory.models) for core in machine().cores]
