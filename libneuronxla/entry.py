"""One entry of the compile cache: its NEFF taken out, or compiled and put in."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from libneuronxla.log import CACHE, WRAPPER, Log
from libneuronxla.mapping import mapped_bytes
from libneuronxla.neuron_cc_cache import (
    DONE,
    FLAGS,
    HLO,
    LOG,
    NEFF,
    CompileCache,
    CompileCacheFs,
)
from neff.errors import NeffError
from neff.header import read_header
from neuronxcc.driver import CommandDriver
from neuronxcc.failure import DEFECT, REFUSED

PAUSE = 0.05  # seconds between two looks at a lock that another process holds


@dataclass(frozen=True, slots=True)
class Job:
    """A model file to compile: the words of its command line, without files; where the NEFF goes.

    `flags` are those that matter, `key` the graph's hash.
    """

    model: Path
    output: Path
    words: tuple[str, ...]
    flags: tuple[str, ...]
    key: str
    retry: bool

    def command(self, output: Path, logfile: Path | None) -> list[str]:
        log = ["--logfile", str(logfile)] if logfile else []
        return ["compile", str(self.model), *self.words, "--output", str(output), *log]


def call_compiler(command: list[str], log: Log) -> int:
    shown = shlex.join(["neuronx-cc", *command])
    log.say("INFO", WRAPPER, f"Call compiler with cmd: {shown}")
    status = CommandDriver.main(command)
    if status:
        log.say("ERROR", WRAPPER, f"Failed compilation with {shown}: exit status {status}")
    return status


class Entry:
    """The place in a cache where a job's result is, or will be."""

    def __init__(self, cache: CompileCache, job: Job, log: Log) -> None:
        self.cache, self.job, self.log = cache, job, log
        self.folder = cache.get_cache_dir(job.key, " ".join(job.flags))

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def obtain(self) -> int:
        """Take the NEFF from the cache, or compile it; one process does, others wait for it."""
        waiting = False
        while (status := self.found()) is None:
            if self.cache.hlo_acquire_lock(self.path(HLO)):
                try:
                    status = self.found()  # another may have ended between the two looks
                    return self.make() if status is None else status
                finally:
                    self.cache.hlo_release_lock(self.path(HLO))
            if not waiting:
                self.log.say("INFO", CACHE, f"Another process compiles {self.folder}; waiting")
            waiting = True
            time.sleep(PAUSE)
        return status

    def found(self) -> int | None:
        """The exit status of an earlier compilation, its NEFF copied out; None where none was."""
        neff = self.path(NEFF)
        if self.cache.exists(self.path(DONE)) and self.cache.exists(neff):
            if self.take():
                self.log.say(
                    "INFO",
                    CACHE,
                    f"Using a cached neff at {neff}. Exiting with a successfully compiled graph.",
                )
                return 0
            self.log.say("WARNING", CACHE, f"The cached neff at {neff} is damaged: compiling again")
            return None
        failed = self.cache.exists(self.path(LOG)) and not self.cache.exists(neff)
        if self.job.retry or not failed:
            return None
        self.log.say(
            "ERROR",
            CACHE,
            f"Got a cached failed neff at {neff}. Will skip compilation, please set "
            "--retry_failed_compilation for recompilation.",
        )
        text = self.cache.download_file_to_string(self.path(LOG))
        print(*(line for line in text.splitlines() if " ERROR " in line), sep="\n", file=sys.stderr)
        return REFUSED

    def take(self) -> bool:
        """Put the cache's NEFF where the job wants it, at once and whole; False if it is not."""
        output = self.job.output
        beside = output.with_name(f".{output.name}.{os.getpid()}-{threading.get_ident()}")
        try:
            self.cache.download_file(self.path(NEFF), str(beside))
            if whole := _is_whole(beside):
                os.replace(beside, output)
            return whole
        finally:
            beside.unlink(missing_ok=True)

    def make(self) -> int:
        """Compile, and put what came out into the cache."""
        self.explain()
        with tempfile.TemporaryDirectory(prefix="neuroncc_compile_workdir-") as folder:
            neff, logfile = Path(folder, NEFF), Path(folder, LOG)
            status = call_compiler(self.job.command(neff, logfile), self.log)
            if status not in (0, REFUSED, DEFECT):
                return status  # not the model's fault: another time it may succeed
            self.cache.upload_string_to_file(self.path(FLAGS), json.dumps(self.job.flags))
            self.cache.upload_file(self.path(HLO), str(self.job.model))
            if status == 0:
                self.cache.upload_file(self.path(NEFF), str(neff))
                self.cache.upload_string_to_file(self.path(DONE), "")  # last: now it counts
                self.take()
            self.cache.upload_file(self.path(LOG), str(logfile))
        return status

    def explain(self) -> None:
        """Say why the cache has nothing: a new graph, or other flags."""
        if not isinstance(self.cache, CompileCacheFs):
            return
        mine = " ".join(self.job.flags)
        others = [" ".join(f) for f in self.cache.flags_of(self.job.key) if " ".join(f) != mine]
        why = f"the graph is cached for: {'; '.join(others)}" if others else "a new graph"
        self.log.say("INFO", CACHE, f"No cached neff at {self.folder} ({mine}): {why}")


def _is_whole(path: Path) -> bool:
    """Whether a NEFF has the length that its header announces."""
    try:
        with mapped_bytes(path) as view:
            read_header(view)
    except NeffError:
        return False
    return True
