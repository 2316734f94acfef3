"""The two wheels in an environment of their own: a model is traced, saved, and loaded."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

from tests.aliases.test_installed import BUILD, BUILT
from tests.tfn.process import ROOT

TRACE = """
import numpy as np, tensorflow as tf, tensorflow.neuron as tfn, tensorflow_neuron, sys
assert tfn is tensorflow_neuron and tfn.__file__.startswith(sys.prefix), tfn.__file__
model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(4, "relu")])
given = tf.ones([2, 3])
made = tfn.trace(model, given)
assert made.on_neuron_ratio == 1
made.save("traced")
np.savez("kept.npz", given=given, wanted=model(given))
print("traced")
"""
LOAD = """
import numpy as np, tensorflow as tf
kept = np.load("kept.npz")
model = tf.keras.models.load_model("traced")
np.testing.assert_allclose(model(tf.constant(kept["given"])), kept["wanted"], rtol=1e-4)
operators = [n.op for n in model.aws_neuron_function.graph.as_graph_def().node]
assert sorted(operators) == ["IdentityN", "NeuronOp", "Placeholder"], operators
print("loaded")
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment with the two wheels, and what they depend on from this one."""
    checkout = tmp_path_factory.mktemp("checkout")
    skipped = shutil.ignore_patterns("__pycache__", "*.so", "build")
    for name in (*BUILT, "tensorflow_neuron", "companions"):
        shutil.copytree(ROOT / name, checkout / name, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, checkout)
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True, with_pip=False)
    [packages] = folder.glob("lib/python3*/site-packages")
    for project in (checkout, checkout / "companions" / "tensorflow-neuron"):
        (project / "dist").mkdir()
        command = [sys.executable, "-c", BUILD, "build_wheel"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        with zipfile.ZipFile(project / "dist" / done.stdout.splitlines()[-1]) as wheel:
            wheel.extractall(packages)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shutil.rmtree(checkout)
    return folder / "bin" / "python"


@pytest.mark.slow
def test_the_wheels(python, tmp_path):
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | quiet
    for program, said in ((TRACE, "traced"), (LOAD, "loaded")):
        done = subprocess.run(
            [python, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.stdout == f"{said}\n", done.stdout + done.stderr
    [metadata] = python.parents[1].glob("lib/*/site-packages/tensorflow_neuron-*/entry_points.txt")
    assert "tf-neuron-auto-multicore = tensorflow_neuron.multicore:main" in metadata.read_text()
