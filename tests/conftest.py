"""What holds for every test."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator

import hypothesis
import pytest

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")
BYTECODE = "bytecode-of-tests-"


def pytest_configure() -> None:
    """Have Ctrl-C interrupt, as in a terminal: a shell starts background jobs with it ignored.

    What a test loads is compiled for it, whatever was loaded before. Where Python keeps no
    bytecode, processes of this run share theirs: large packages are not compiled by each.
    """
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        os.environ["PYTHONDONTWRITEBYTECODE"] = ""
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = tempfile.mkdtemp(prefix=BYTECODE)
        sys.dont_write_bytecode = False
    os.environ["NEURON_EMULATOR_EXECUTABLE_CACHE"] = "0"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # the process that has others run tests is not done
        return
    prefix = os.environ.get("PYTHONPYCACHEPREFIX", "")
    if BYTECODE in prefix:
        shutil.rmtree(prefix, ignore_errors=True)


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
