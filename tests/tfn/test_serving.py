"""Traced models served by HTTP, and exported for programs without NeuronOp."""

import base64
import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_neuron as tfn
from tensorflow_neuron import serving
from tensorflow_neuron.export import export_portable
from tensorflow_neuron.serve import application, main
from tests.tfn.judged import assert_equal, normal
from tests.tfn.process import ROOT

X, W = normal(2, 3), normal(3, 4, seed=1)


def _run(x):
    return tf.nn.relu(x @ W)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("served")
    tfn.trace(_run, X).save(made / "1")
    tfn.trace(lambda a, b: {"sum": a + b, "product": a * b}, {"a": X, "b": X}).save(made / "2")
    return made


@pytest.fixture(scope="module")
def client(folder):
    return application(serving.load("mine", folder)).test_client()


def _post(client, request, where="/v1/models/mine/versions/1:predict"):
    answer = client.post(where, data=json.dumps(request))
    return answer.status_code, answer.json


def test_rows(client):
    status, answer = _post(client, {"instances": X.numpy().tolist()})
    assert status == 200
    np.testing.assert_allclose(answer["predictions"], _run(X), rtol=1e-5)


def test_whole_tensors(client):
    for given in (X.numpy().tolist(), {"input_1": X.numpy().tolist()}):
        status, answer = _post(client, {"inputs": given, "signature_name": "serving_default"})
        assert status == 200
        np.testing.assert_allclose(answer["outputs"], _run(X), rtol=1e-5)


def test_rows_with_names(client):
    rows = [{"a": [1, 2, 3], "b": [4, 5, 6]}, {"a": [0, 0, 0], "b": [1, 1, 1]}]
    status, answer = _post(client, {"instances": rows}, "/v1/models/mine:predict")
    assert status == 200  # the newest version
    assert answer["predictions"][0] == {"product": [4, 10, 18], "sum": [5, 7, 9]}


def test_status_and_metadata(client):
    answer = client.get("/v1/models/mine").json
    assert [v["version"] for v in answer["model_version_status"]] == ["2", "1"]
    assert {v["state"] for v in answer["model_version_status"]} == {"AVAILABLE"}
    answer = client.get("/v1/models/mine/versions/1/metadata").json
    assert answer["model_spec"]["version"] == "1"
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    given = signature["inputs"]["input_1"]
    assert given["dtype"] == "DT_FLOAT"
    assert [d["size"] for d in given["tensor_shape"]["dim"]] == ["2", "3"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "one must be given"),
        ({"inputs": [], "instances": []}, "one must be given"),
        ([], "must be an object"),
        ({"instances": []}, "at least one element"),
        ({"instances": [[1, 2, 3]]}, "was compiled for the shape"),
        ({"instances": [["a"]]}, "input 'input_1' must be a float32 tensor"),
        ({"inputs": {"other": []}}, r"the inputs must be \['input_1'\], got \['other'\]"),
        ({"instances": [{"other": 1}]}, "every instance must have the inputs"),
        ({"instances": [[1]], "signature_name": "none"}, "'none' not found in signature def"),
        ({"instances": [[1]], "signature_name": ["none"]}, "'signature_name' key must be a string"),
        ({"instances": [[1]], "signature_name": {}}, "'signature_name' key must be a string"),
    ],
)
def test_requests_that_do_not_fit(client, request_, message):
    status, answer = _post(client, request_)
    assert status == 400
    assert re.search(message, answer["error"])


def test_what_is_not_there(client):
    for where in ("/v1/models/other", "/v1/models/mine/versions/7", "/nothing"):
        answer = client.get(where)
        assert answer.status_code == 404
        assert answer.json["error"]
    for body in (b"{", b"", b"\xff{}"):
        answer = client.post("/v1/models/mine:predict", data=body)
        assert answer.status_code == 400
        assert answer.json["error"].startswith("JSON Parse error: ")


def test_text_in_base64(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.string, "s")
    module.f = tf.function(lambda s: {"n": tf.strings.length(s), "s": s}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), signatures=module.f)
    served = serving.load("text", tmp_path)
    row = {"b64": base64.b64encode(b"abc").decode()}
    assert serving.predict(served, None, {"instances": [row]}) == {
        "predictions": [{"n": 3, "s": "abc"}]
    }


def test_bytes_that_are_no_text_come_back_in_base64(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.string, "s")
    module.f = tf.function(lambda s: {"s": s}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), signatures=module.f)
    row = {"b64": base64.b64encode(b"\xff\xfe").decode()}
    answer = serving.predict(serving.load("text", tmp_path), None, {"instances": [row]})
    assert answer == {"predictions": [row]}


def test_integers_that_do_not_fit(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.uint8, "n")
    module.f = tf.function(lambda n: {"n": n}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), signatures=module.f)
    served = serving.load("numbers", tmp_path)
    assert serving.predict(served, None, {"inputs": [0, 255]}) == {"outputs": [0, 255]}
    for wrong in (256, -1, 1 << 70):
        with pytest.raises(serving.RequestError, match=f"{wrong} is not between 0 and 255"):
            serving.predict(served, None, {"inputs": [1, wrong]})


def test_a_port_that_is_taken(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([f"--model_base_path={folder / '1'}", f"--rest_api_port={port}"]) == 2
    assert f"serve: cannot listen on 127.0.0.1:{port}: " in capsys.readouterr().err


def test_a_folder_without_models(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be a SavedModel, or have some in folders"):
        serving.load("none", tmp_path)


def test_the_command(folder):
    words = ["--model_base_path", str(folder / "1"), "--rest_api_port=0", "--model_name=one"]
    command = [sys.executable, "-m", "tensorflow_neuron.serve", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            where = server.stdout.readline().removeprefix("serving ").strip()
            body = json.dumps({"instances": X.numpy().tolist()}).encode()
            got = _asked(f"{where}:predict", body)
            columns = json.dumps({"inputs": {"input_1": X.numpy().tolist()}}).encode()
            whole = _asked(f"{where}/versions/1:predict", columns)
            state = _asked(where)["model_version_status"][0]
            signatures = _asked(f"{where}/metadata")["metadata"]["signature_def"]["signature_def"]
            wrong = _asked(f"{where}:predict", b'{"instances": [[1]]}')
            missing = _asked(where.replace("one", "other"))
        finally:
            server.terminate()
    np.testing.assert_allclose(got["predictions"], _run(X), rtol=1e-5)
    np.testing.assert_allclose(whole["outputs"], _run(X), rtol=1e-5)
    assert (state["version"], state["state"], state["status"]["error_code"]) == (
        *("1", "AVAILABLE", "OK"),
    )
    assert set(signatures["serving_default"]["inputs"]) == {"input_1"}
    assert wrong == {"error": wrong["error"], "status": 400}
    assert "was compiled for the shape" in wrong["error"]
    assert missing == {"error": "Could not find any versions of model other", "status": 404}


def _asked(url, body=None):
    """The JSON of an answer; of one that is an error, with its status."""
    try:
        with urllib.request.urlopen(url, body, timeout=60) as answer:
            assert answer.headers["Content-Type"] == "application/json"
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return {**json.load(error), "status": error.code}


STOCK = """
import sys
class Refuse:
    @staticmethod
    def find_spec(name, path=None, target=None):
        own = ("hlo_frontend", "neff", "runtime", "tensorflow_neuron", "torch_neuronx")
        if name.partition(".")[0] in own:
            raise ImportError("this process has no " + name)
sys.meta_path.insert(0, Refuse)
import numpy as np, tensorflow as tf
assert "NeuronOp" not in tf.raw_ops.__dict__ and not any("neuron" in m for m in sys.modules)
kept = np.load(sys.argv[1] + "/kept.npz")
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
(got,) = serve(tf.constant(kept["given"])).values()
np.testing.assert_allclose(got, kept["wanted"], rtol=1e-4, atol=1e-6)
print("stock")
"""


def test_an_export_runs_in_stock_tensorflow(tmp_path):
    L = tf.keras.layers
    given = tf.keras.Input((8, 8, 3), batch_size=2)
    hidden = L.Flatten()(L.Conv2D(4, 3, activation="relu")(given))
    model = tf.keras.Model(given, L.Dense(5)(hidden))
    x = normal(2, 8, 8, 3)
    export_portable(tfn.trace(model, x), tmp_path / "stock")
    np.savez(tmp_path / "stock" / "kept.npz", given=x, wanted=model(x))
    # -S: without what a file beside the packages does when Python starts
    program = f"import sys; sys.path[:0] = {[p for p in sys.path if 'site-packages' in p]}\n{STOCK}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, str(tmp_path / "stock")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout == "stock\n", done.stderr


def test_an_export_of_a_graph_in_parts(tmp_path):
    def run(x):
        return {
            "b": tf.cast(tf.strings.length(tf.strings.as_string(x @ W)), tf.float32)
            @ tf.ones([4, 2]),
            "a": x @ W,
        }

    export_portable(tfn.trace(run, X), tmp_path / "parts")
    loaded = tf.saved_model.load(str(tmp_path / "parts"))
    assert_equal(run(X), dict(loaded.signatures["serving_default"](input_1=X)))


def test_only_traced_models_are_exported(tmp_path):
    with pytest.raises(ValueError, match=r"must be one of tensorflow\.neuron\.trace"):
        export_portable(tf.keras.Sequential(), tmp_path)
