"""Traced models on several NeuronCores: which of them calls go to, and TensorFlow's devices."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import tensorflow as tf

import tensorflow_neuron as tfn
from runtime import core
from runtime.model import unload_all
from runtime.status import NeuronRuntimeError
from runtime.visible import cores_of_groups
from tests.tfn.judged import assert_equal, normal

X, W = normal(2, 3), normal(3, 3, seed=1)


def _one(x):
    return tf.nn.relu(x @ W)


def _parts(x):
    text = tf.strings.length(tf.strings.as_string(x @ W))
    return tf.cast(text, tf.float32) @ W


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A function that starts a machine with these variables."""

    def start(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        core.close()
        return core.machine()

    unload_all()
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "inf2.24xlarge")
    monkeypatch.setenv("NEURON_EMULATOR_RUNTIME_DIR", str(tmp_path))
    yield start
    unload_all()
    core.close()


@pytest.mark.parametrize(
    ("environment", "first", "executions"),
    [
        ({"NEURON_RT_NUM_CORES": "2"}, 0, [2, 2]),
        ({"NEURON_RT_VISIBLE_CORES": "1-4"}, 1, [1, 1, 1, 1]),
        ({"NEURON_RT_VISIBLE_CORES": "5"}, 5, [4]),
        ({"NEURONCORE_GROUP_SIZES": "1x2,2"}, 0, [1, 1, 1, 1]),
        ({"NEURONCORE_GROUP_SIZES": "[2,2]", "NEURON_RT_NUM_CORES": "2"}, 0, [2, 2]),
    ],
)
def test_calls_go_round_the_visible_cores(machine, environment, first, executions):
    here = machine(**environment)
    made = tfn.trace(_one, X)
    for _ in range(4):
        assert_equal(_one(X), made(X))
    assert here.cores[0].position == first
    assert [c.executions for c in here.cores] == executions


def test_models_of_several_segments_go_on_one_core_each(machine):
    here = machine(NEURON_RT_NUM_CORES="3")
    made = tfn.trace(_parts, X)
    for _ in range(3):
        made(X)
    assert sorted(c.executions for c in here.cores) == [0, 3, 3]


def test_several_copies_where_the_user_asks_for_them(machine):
    here = machine()
    made = tfn.auto_multicore(tfn.trace(_one, X), X, num_cores=2)
    for _ in range(4):
        made(X)
    assert [c.executions for c in here.cores] == [2, 2] + [0] * 10


def test_threads_go_to_different_cores(machine):
    here = machine(NEURON_RT_NUM_CORES="4")
    made = tfn.trace(_one, X)
    made(X)
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(made, [X] * 39):
            assert_equal(_one(X), got)
    assert [c.executions for c in here.cores] == [10] * 4


def test_an_instance_type_for_extracted_weights_decides_the_machine(machine, monkeypatch):
    monkeypatch.delenv("NEURON_EMULATOR_INSTANCE_TYPE")
    monkeypatch.setenv("NEURON_CC_FLAGS", "--extract-weights inf1.2xlarge")
    core.close()
    weight = tf.Variable(W)
    tfn.trace(tf.function(lambda x: x @ weight), X)(X)
    assert core.machine().layout.instance_type == "inf1.xlarge"


def test_a_profile_is_not_made(machine, capfd):
    machine(NEURON_PROFILE="/tmp", NEURON_RT_LOG_LEVEL="WARNING")
    assert "NEURON_PROFILE has no effect" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["", "none", "0", "2,,2"])
def test_groups_that_are_none(text):
    with pytest.raises(NeuronRuntimeError, match="NEURONCORE_GROUP_SIZES must be sizes of groups"):
        cores_of_groups(text)


@pytest.mark.parametrize("device", ["/device:AWS_NEURON:0", "/CPU:0"])
def test_devices_of_tensorflow(device):
    with tf.device(device):
        made = tfn.trace(_one, X)
        assert_equal(_one(X), made(X))
        assert_equal(_one(X), tf.function(lambda x: made(x))(X))
        with tf.Graph().as_default(), tf.device(device):
            given = tf.compat.v1.placeholder(X.dtype, X.shape)
            result = made.aws_neuron_function(given)
            config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
            with tf.compat.v1.Session(config=config) as session:
                got = session.run(result, {given: X.numpy()})
    assert_equal(_one(X), tf.constant(got))


@pytest.mark.parametrize("name", sorted(tfn.ABSENT))
def test_names_of_the_package_for_tensorflow_1(name):
    assert not hasattr(tfn, name)
    with pytest.raises(AttributeError, match=rf"{name} is not part of this emulator\n  try: "):
        getattr(tfn, name)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        tfn.nonsense  # noqa: B018
