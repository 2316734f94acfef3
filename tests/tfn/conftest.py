"""Tests of tensorflow.neuron are left out where TensorFlow is not installed.

What is traced under both Kerases, and loaded in new processes, is worked out while other tests run.
"""

import importlib.util
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.tfn.process import LEGACY, MEMORY, finish, start

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's own log
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

if importlib.util.find_spec("tensorflow") is None:
    collect_ignore_glob = ["test_*.py"]

TRACE = "import runpy; runpy.run_module('tests.tfn.survey', run_name='__main__', alter_sys=True)"
LOAD = Path(__file__).with_name("load_saved.py")


def pytest_collection_modifyitems(items):
    """Tests that wait for the survey come last of these."""
    places = [n for n, item in enumerate(items) if "tests/tfn/" in item.path.as_posix()]
    own = [items[n] for n in places]
    own.sort(key=lambda item: "survey" in item.fixturenames)
    for n, item in zip(places, own, strict=True):
        item.add_marker(pytest.mark.tensorflow)
        items[n] = item


def _survey(folder, environment):
    """What became of each case under one Keras: when it was traced, and when it was loaded."""
    for program in (TRACE, LOAD.read_text()):
        finish(start(program, folder, folder=folder, **environment, **MEMORY))
    found, loaded = (json.loads((folder / f"{n}.json").read_text()) for n in ("found", "loaded"))
    return found | {"loaded": loaded}


@pytest.fixture(scope="session")
def surveys(tmp_path_factory):
    with ThreadPoolExecutor() as pool:
        yield {
            keras: pool.submit(_survey, tmp_path_factory.mktemp(f"keras-{keras}"), environment)
            for keras, environment in (("3", {}), ("legacy", LEGACY))
        }


@pytest.fixture(scope="session", autouse=True)
def _start_early(request):
    if any("survey" in item.fixturenames for item in request.session.items):
        request.getfixturevalue("surveys")


@pytest.fixture
def survey(surveys, keras):
    """What was found under the Keras that the test is for."""
    return surveys[keras].result()
