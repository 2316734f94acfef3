"""`scripts/serve`: serves a traced SavedModel by HTTP, as TensorFlow Serving's REST API does."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from tensorflow_neuron import serving
from tensorflow_neuron.serving import RequestError, Served

LARGEST = 1 << 28  # bytes of a request
THREADS = 8


def application(served: Served) -> Any:
    """The WSGI application that serves one model."""
    import flask
    from werkzeug.exceptions import HTTPException

    made = flask.Flask(__name__)
    made.config["MAX_CONTENT_LENGTH"] = LARGEST
    made.json.sort_keys = False
    base = "/v1/models/<name>"
    version = f"{base}/versions/<int:number>"

    def known(name: str) -> Served:
        if name != served.name:
            raise RequestError(404, f"Could not find any versions of model {name}")
        return served

    def route(suffix: str, method: str, answer: Any) -> None:
        for rule in (base, version):
            made.add_url_rule(rule + suffix, f"{rule}{suffix}", answer, methods=[method])

    def get_status(name: str, number: int | None = None) -> Any:
        return serving.status(known(name), number)

    def get_metadata(name: str, number: int | None = None) -> Any:
        return serving.metadata(known(name), number)

    def post_predict(name: str, number: int | None = None) -> Any:
        return serving.predict(known(name), number, serving.parsed(flask.request.get_data()))

    def refused(error: RequestError) -> Any:
        return {"error": str(error)}, error.status

    def http_error(error: HTTPException) -> Any:
        return {"error": error.description}, error.code

    route("", "GET", get_status)
    route("/metadata", "GET", get_metadata)
    route(":predict", "POST", post_predict)
    made.register_error_handler(RequestError, refused)
    made.register_error_handler(HTTPException, http_error)
    return made


def main(words: Sequence[str] | None = None) -> int:
    """Serve until interrupted. The options have TensorFlow Serving's names."""
    parser = argparse.ArgumentParser(prog="scripts/serve", description=main.__doc__)
    parser.add_argument("--model_base_path", required=True, help="a SavedModel, or its versions")
    parser.add_argument("--model_name", default="default")
    parser.add_argument("--rest_api_port", type=int, default=8501)
    parser.add_argument("--rest_api_host", default="127.0.0.1", help="who may connect")
    given = parser.parse_args(words)
    import waitress

    try:
        served = serving.load(given.model_name, given.model_base_path)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    host, port = given.rest_api_host, given.rest_api_port
    try:
        server = waitress.create_server(application(served), host=host, port=port, threads=THREADS)
    except OSError as error:
        print(f"serve: cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)
        return 2
    where = f"http://{host}:{server.effective_port}/v1/models/{served.name}"
    print(f"serving {where}", flush=True)
    try:
        server.run()
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
