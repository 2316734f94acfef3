"""Cores between processes: exclusive, given back however a process ends, never used after fork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOLD = """
    import sys
    from runtime.core import machine
    from runtime.status import NeuronRuntimeError
    try:
        print([c.position for c in machine().cores], flush=True)
    except NeuronRuntimeError as error:
        print(" ".join(str(error).split()), flush=True)
        sys.exit(1)
    sys.stdin.read()
"""
VISIBLE, NUMBER = "NEURON_RT_VISIBLE_CORES", "NEURON_RT_NUM_CORES"


@pytest.fixture
def environment(tmp_path):
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NEURON_EMULATOR_RUNTIME_DIR": str(tmp_path),
        "NEURON_EMULATOR_INSTANCE_TYPE": "inf2.24xlarge",
    }


@contextmanager
def process(environment, code: str = HOLD, **more: str):
    """Another process that has printed a line and waits, and that line."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, **more},
    ) as child:
        try:
            yield child, child.stdout.readline().strip()
        finally:
            child.kill()


def test_a_taken_core_is_refused_with_the_documented_error(environment):
    with (
        process(environment, **{VISIBLE: "1"}) as (holder, held),
        process(environment, **{VISIBLE: "1"}) as (refused, said),
    ):
        assert held == "[1]"
        assert (
            'nrt_init status=4, error message="Failed to allocate a resource for requested '
            'operation": NeuronCore(s) not available - Requested:nc1-nc1 Available:0 '
            f"nc1-nc1 held by process {holder.pid}: "
        ) in said
        assert refused.wait(30) == 1
        log = refused.stderr.read()
        assert "ERROR  NRT:nrt_allocate_neuron_cores " in log
        assert "NeuronCore(s) not available - Requested:nc1-nc1 Available:0" in log


def test_cores_side_by_side(environment):
    with (
        process(environment, **{VISIBLE: "2-3"}) as (_, first),
        process(environment, **{NUMBER: "2"}) as (_, second),
        process(environment, **{NUMBER: "3"}) as (_, third),
        process(environment, **{NUMBER: "6"}) as (_, fourth),
        process(environment, **{VISIBLE: "3-5"}) as (_, fifth),
        process(environment) as (_, sixth),
    ):
        assert (first, second, third) == ("[2, 3]", "[0, 1]", "[4, 5, 6]")
        assert "Requested:6 Available:5" in fourth
        assert "Requested:nc3-nc5 Available:0" in fifth
        assert "Requested:nc0-nc11 Available:5" in sixth  # all, where some are taken


def test_processes_that_ask_for_nothing_share_the_machine(environment):
    all_cores = str(list(range(12)))
    always = {"NEURON_EMULATOR_EXCLUSIVE_CORES": "always"}
    with process(environment) as (_, first), process(environment) as (_, second):
        assert first == second == all_cores
        with process(environment, **always) as (_, third):
            assert third == all_cores
            with process(environment) as (_, fourth):
                assert "Requested:nc0-nc11 Available:0" in fourth


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None])
def test_however_a_process_ends_its_cores_are_free(environment, end):
    with process(environment, **{VISIBLE: "0-11"}) as (first, held):
        assert held == str(list(range(12)))
        if end is None:
            first.stdin.close()
        else:
            first.send_signal(end)
        first.wait(30)
        with process(environment, **{VISIBLE: "0-11"}) as (_, again):
            assert again == held


def test_machines_of_other_directories_and_types_are_others(environment, tmp_path):
    other = {"NEURON_EMULATOR_RUNTIME_DIR": str(tmp_path / "other"), VISIBLE: "0"}
    kind = {"NEURON_EMULATOR_INSTANCE_TYPE": "trn1.2xlarge", VISIBLE: "0"}
    with (
        process(environment, **{VISIBLE: "0"}) as (_, first),
        process(environment, **other) as (_, second),
        process(environment, **kind) as (_, third),
    ):
        assert first == second == third == "[0]"


FORK = """
    import os, sys, threading
    import numpy as np
    from runtime import core
    from runtime.bridge import Handle
    from runtime.model import read
    from runtime.status import NeuronRuntimeError
    from tests.runtime.models import in_bytes, neff, scaled
    handle = Handle(read(neff(scaled())), "{}")
    model = handle.load()
    ones = in_bytes(np.ones(3, np.float32))
    model.execute(ones)
    held = threading.Event()
    def hold():
        with handle._loading, model._instances[0].core.queue, core._lock:
            held.set()
            threading.Event().wait()
    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    child = os.fork()
    if child == 0:
        said = []
        for use in (
            lambda: handle.execute(ones), lambda: handle.execute_batch(ones, 1),
            lambda: model.execute(ones), handle.load, lambda: handle.place(0, 1),
            core.machine, core.close,
        ):
            try:
                use()
            except NeuronRuntimeError as error:
                said.append(str(error).splitlines()[0])
        handle.unload()
        model.unload()
        print(len(said), set(s.split("=", 1)[1] for s in said), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print([c.position for c in core.machine().cores], flush=True)
    sys.stdin.read()
"""


def test_after_fork_the_child_is_refused_and_the_parent_keeps_its_cores(environment):
    with process(environment, FORK, **{VISIBLE: "4"}) as (parent, said):
        assert said.startswith("7 {")
        assert (
            '1, error message="Non specific failure": Incompatible runtime state: NRT_STATE_CHILD '
            "(this process was forked after the runtime was initialized)"
        ) in said
        assert parent.stdout.readline().strip() == "[4]"
        with process(environment, **{VISIBLE: "4"}) as (_, refused):
            assert "Requested:nc4-nc4 Available:0" in refused


ORPHAN = """
    import os, sys, time
    from runtime.core import machine
    machine()
    if os.fork() == 0:
        sys.stdin.close()
        print("child", os.getpid(), flush=True)
        time.sleep(60)
    time.sleep(60)
"""


def test_a_child_does_not_keep_its_dead_parents_cores(environment):
    with process(environment, ORPHAN, **{VISIBLE: "0"}) as (parent, said):
        child = int(said.split()[1])
        try:
            parent.kill()
            parent.wait(30)
            with process(environment, **{VISIBLE: "0"}) as (_, held):
                assert held == "[0]"
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_forked_process_that_never_used_the_runtime_may(environment):
    code = """
        import os, sys
        import runtime.core
        child = os.fork()
        if child == 0:
            print([c.position for c in runtime.core.machine().cores], flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    """
    with process(environment, code, **{VISIBLE: "7"}) as (_, said):
        assert said == "[7]"
