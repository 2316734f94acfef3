"""The examples of docs/compiler.md run, in their order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.cli.models import proto

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "compiler.md").read_text()
TOOLS = {"neuronx-cc": [sys.executable, "-m", "neuronxcc"], "python": [sys.executable]}


def examples() -> list[tuple[str, str]]:
    return re.findall(r"```(python|sh)\n(.*?)```", DOCUMENT, re.DOTALL)


def test_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("model.hlo.pb").write_bytes(proto())
    np.save("x.npy", np.ones((4, 8), np.float32))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NEURON_COMPILE_CACHE_URL": "cache"}
    for language, text in examples():
        if language == "python":
            exec(compile(text, "docs/compiler.md", "exec"), {})
            continue
        for line in text.splitlines():
            tool, *words = shlex.split(line)
            subprocess.run([*TOOLS[tool], *words], env=environment, check=True)
    assert np.load("y.npy").shape == (4, 8)
    assert Path("model.neff").exists() and list(Path("cache").glob("neuronxcc-*/MODULE_*"))


def test_what_the_document_says_of_the_exit_status():
    from neuronxcc.failure import EXPECTED

    stated = {int(n) for n in re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)}
    assert stated == {0, 70, *EXPECTED.values()}
