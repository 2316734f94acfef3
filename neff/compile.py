"""The compiler's front door: a bound HLO module in, the bytes of a NEFF out."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hlo_frontend.hlo.module import HloModule
from neff.container import write_neff
from neff.lower import lower
from neff.metaneff import write_metaneff
from neff.options import CompileOptions
from neff.pipeline import Observer, PassRecord, pipeline, run, write_dump
from neff.program import Program, Variable
from neff.support.memory import check_memory
from neff.support.refusals import check_support
from neff.undisturbed import undisturbed

logger = logging.getLogger("Neuron")


@dataclass(frozen=True, slots=True)
class Compiled:
    """What compiling made, and what each stage took."""

    program: Program
    neff: np.ndarray  # the file, as uint8
    metaneff: bytes
    stages: tuple[PassRecord, ...]


@undisturbed()
def compile_module(
    module: HloModule,
    inputs: Sequence[Variable] | None = None,
    binding: Sequence[int] | None = None,
    *,
    options: CompileOptions | None = None,
    dump: Path | None = None,
    observe: Observer | None = None,
) -> Compiled:
    """Compile a module whose parameters are bound to `inputs` (see `neff.lower.lower`).

    `dump` is a folder for the program after every stage; `observe` is called with each stage's
    record as it ends. Raises CompileError, which is a RefusedError where the documents refuse it.
    """
    options = options or CompileOptions()
    for words in options.ignored:
        logger.warning("compiler_args: %s changes nothing here", " ".join(words))
    stages: list[PassRecord] = []

    def done(record: PassRecord) -> None:
        stages.append(record)
        if observe is not None:
            observe(record)

    start = time.perf_counter()
    check_support(module, options)
    program = replace(lower(module, inputs, binding), target=options.target)
    size = len(program.main.instructions)
    done(PassRecord("lower", time.perf_counter() - start, size, True))
    if dump is not None:
        write_dump(dump, "00-lower", program)
    program = run(program, pipeline(options), done, dump)
    check_memory(program, options)
    start = time.perf_counter()
    neff = write_neff(
        program,
        compress=options.fast_loading == "off",
        logical_cores=options.logical_cores,
        pipeline_cores=options.neuroncore_pipeline_cores,
    )
    size = len(program.main.instructions)
    done(PassRecord("write_neff", time.perf_counter() - start, size, False))
    return Compiled(program, neff, write_metaneff(program), tuple(stages))
