"""What holds for every test: an emulated machine that no other process outside the tests uses."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def a_machine_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Locks in a directory of this run; tests that hold cores name one of their own."""
    name, directory = "NEURON_EMULATOR_RUNTIME_DIR", tmp_path_factory.mktemp("machine")
    before = os.environ.get(name)
    os.environ[name] = str(directory)
    yield
    if before is None:
        del os.environ[name]
    else:
        os.environ[name] = before
