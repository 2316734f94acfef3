"""The small model's files, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hlo_frontend.hlo.proto import write_module
from tests.inspect.files import MODEL, module, neff


@pytest.fixture(scope="session")
def hlo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hlo") / "model.hlo"
    path.write_bytes(write_module(module()))
    return path


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "model.hlo.txt"
    path.write_text(MODEL)
    return path


@pytest.fixture(scope="session")
def neff_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("neff") / "model.neff"
    path.write_bytes(neff(module()))
    return path
