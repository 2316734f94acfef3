"""The examples of docs/runtime.md and docs/faults.md run, and their tables say what is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtime.hardware import INSTANCES
from runtime.layout import LOGICAL, layout
from runtime.settings import SETTINGS
from runtime.status import Status
from tests.runtime.models import fresh_machine

DOCS = Path(__file__).parents[2] / "docs"
NAMES = ("runtime.md", "faults.md")
EXAMPLES = [
    (name, code)
    for name in NAMES
    for code in re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.S)
]


@pytest.mark.parametrize(("name", "code"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_examples_run(name, code, monkeypatch, tmp_path):
    monkeypatch.setenv("NEURON_EMULATOR_RUNTIME_DIR", str(tmp_path))
    with fresh_machine():
        exec(compile(code, str(DOCS / name), "exec"), {"__name__": "example"})


@pytest.mark.parametrize("name", NAMES)
def test_what_they_name_exists(name):
    text = (DOCS / name).read_text()
    for variable in set(re.findall(r"\b(?:NEURON_(?:RT|EMULATOR|LOGICAL|FAIL)_\w+)", text)):
        assert variable in SETTINGS, variable
    for status in set(re.findall(r"`(NRT_[A-Z_]+)`", text)):
        assert status in Status.__members__, status


def test_the_machines_are_those_of_the_table(monkeypatch):
    for variable in LOGICAL:
        monkeypatch.delenv(variable, raising=False)
    rows = re.findall(
        r"^\| ((?:inf|trn).*?) \| (.*?) \| (.*?) \| (\d+) GiB \|$",
        (DOCS / "runtime.md").read_text(),
        re.M,
    )
    found = set()
    for names, devices, cores, memory in rows:
        family = names.split(".")[0]
        for group, count, number in zip(
            names.split(" / "), devices.split(" / "), cores.split(" / "), strict=True
        ):
            for short in group.split(", "):
                name = _whole(short, family, names)
                monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", name)
                here = layout()
                assert here.instance.devices == int(count), name
                assert here.cores == int(number), name
                assert here.memory_per_core == int(memory) << 30, name
                found.add(name)
    assert found == set(INSTANCES)


def _whole(short: str, family: str, names: str) -> str:
    """`.2xlarge` of inf1 is inf1.2xlarge, `-gen2` the second of trn3.ultraserver."""
    if short.startswith("-"):
        return names.split("-")[0] + short
    return family + short if short.startswith(".") else short
