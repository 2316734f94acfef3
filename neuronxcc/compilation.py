"""`neuronx-cc compile`: a model file in, a NEFF out."""

from __future__ import annotations

import logging
import shlex
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hlo_frontend.files import read_hlo_file
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.module import HloModule
from hlo_frontend.hlo.proto import write_module
from hlo_frontend.hlo.text import print_module
from hlo_frontend.hlo.verify import verify_module
from neff.compile import Compiled, compile_module
from neff.files import write_atomically
from neff.pipeline import PassRecord
from neff.support.refusals import refusal_of_file
from neuronxcc.arguments import SAVE_TEMPS, Arguments
from neuronxcc.output import check_writable, write_output
from neuronxcc.placement import placement
from neuronxcc.report import DEBUG, INFO, Report
from neuronxcc.version import __version__

logger = logging.getLogger("Neuron")


def compile_file(arguments: Arguments, report: Report) -> None:
    """Compile the model of a command line. Raises what `neuronxcc.failure.EXPECTED` lists."""
    report.say(DEBUG, f"NeuronX Compiler version {__version__}")
    report.say(DEBUG, f"Command line: neuronx-cc compile {shlex.join(arguments.words)}")
    if arguments.placement:
        module = _read(arguments)
        verify_module(module)
        print(placement(module, arguments.options), end="")
        return
    check_writable(arguments.output)
    start = time.perf_counter()
    module = _read(arguments)
    report.stage("read_hlo", time.perf_counter() - start)
    with _warnings(report):
        compiled = _compile(module, arguments, report)
    write_output(arguments.output, compiled.neff.data)
    report.passed()


def _read(arguments: Arguments) -> HloModule:
    assert arguments.model is not None
    try:
        return read_hlo_file(arguments.model)
    except HloError as error:
        refusal = refusal_of_file(error)
        if refusal is None:
            raise
        raise refusal.error() from None


def _compile(module: HloModule, arguments: Arguments, report: Report) -> Compiled:
    dump = _temporaries(arguments) if SAVE_TEMPS in arguments.pipeline else None
    if dump is not None:
        report.say(INFO, f"keeping the program after every pass in {dump}")
        write_atomically(dump / "graph.hlo", write_module(module))
        write_atomically(dump / "graph.hlo.txt", print_module(module).encode())

    def ended(record: PassRecord) -> None:
        report.stage(record.name, record.seconds)

    compiled = compile_module(module, options=arguments.options, dump=dump, observe=ended)
    if dump is not None:
        write_atomically(dump / "metaneff.pb", compiled.metaneff)
    return compiled


def _temporaries(arguments: Arguments) -> Path:
    """The folder for what `SaveTemps` keeps: the one named, or a new one in this folder."""
    if arguments.workdir is None:
        return Path(tempfile.mkdtemp(prefix="neuronxcc-", dir="."))
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    return arguments.workdir


@contextmanager
def _warnings(report: Report) -> Iterator[None]:
    """Let what the compiler logs be said by the report."""
    handler = _Handler(report)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self.report = report
        self.thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:  # others may compile beside
            self.report.say(record.levelno, record.getMessage())
