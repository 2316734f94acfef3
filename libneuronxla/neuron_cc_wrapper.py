"""The compiler behind its cache: what is compiled already is not compiled again."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from hlo_frontend.files import mapped
from libneuronxla.entry import Entry, Job, call_compiler
from libneuronxla.flags import WrapperOptions, split_flags
from libneuronxla.keys import canonical_flags, graph_hash
from libneuronxla.log import CACHE, Log
from libneuronxla.neuron_cc_cache import HLO, CacheUrl, create_compile_cache
from neff.errors import CompileError, OptionError
from neuronxcc.arguments import Command, parse_arguments
from neuronxcc.driver import CommandDriver
from neuronxcc.failure import Failure
from neuronxcc.output import check_writable
from runtime.settings import setting


def main(argv: Sequence[str] | None = None) -> int:
    """`neuronx-cc` behind the cache: its command line, and NEURON_CC_FLAGS before it.

    Returns the exit status, as `neuronxcc.driver.CommandDriver.main` does.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    failure, status = Failure(words, sys.stderr), 0
    with failure:
        status = _run([*shlex.split(setting("NEURON_CC_FLAGS")), *words])
    return failure.status or status


def _run(words: Sequence[str]) -> int:
    wrapper, left = split_flags(words)
    arguments = parse_arguments(left)
    if arguments.command is not Command.COMPILE or arguments.placement or arguments.pipeline:
        return CommandDriver.main(left)
    assert arguments.model is not None
    flags = tuple(canonical_flags(arguments.options))
    with mapped(arguments.model) as (_, data):
        key = graph_hash(data)
    retry = wrapper.retry_failed_compilation
    job = Job(arguments.model, arguments.output, arguments.words, flags, key, retry)
    return _compile(job, wrapper)


def _compile(job: Job, wrapper: WrapperOptions) -> int:
    check_writable(job.output)
    log = Log(wrapper.log_level)
    if wrapper.no_cache:
        return call_compiler(job.command(job.output, None), log)
    cache = create_compile_cache(CacheUrl.get_cache_url(wrapper.cache_dir))
    log.say("INFO", CACHE, f"Compile cache path: {cache.cache_path}")
    return Entry(cache, job, log).obtain()


def neuron_xla_compile(
    module_bytes: bytes,
    compiler_flags: str | Sequence[str],
    input_format: str = "hlo",
    platform_target: str = "trn1",
    cache_key: str | None = None,
    retry_failed_compilation: bool = False,
    lazy: bool = True,
    use_cache: bool = True,
    cache_dir: str | None = None,
    work_dir: str | None = None,
    create_subdir: bool = True,
) -> bytes:
    """The NEFF of a serialized module, from the cache where it is there.

    `cache_key` stands for the graph's hash, where the caller has a better one. In `work_dir`, or a
    new folder in it with `create_subdir`, the model and its NEFF stay. A target among the flags
    wins over `platform_target`. `lazy` changes nothing. Raises CompileError or OptionError.
    """
    if input_format != "hlo":
        raise OptionError(f"neuron_xla_compile: input_format must be 'hlo', got {input_format!r}")
    given = shlex.split(compiler_flags) if isinstance(compiler_flags, str) else compiler_flags
    wrapper, left = split_flags(given)
    wrapper = replace(
        wrapper,
        cache_dir=cache_dir or wrapper.cache_dir,
        no_cache=wrapper.no_cache or not use_cache,
        retry_failed_compilation=retry_failed_compilation or wrapper.retry_failed_compilation,
    )
    words = ["compile", HLO, "--framework=XLA", f"--target={platform_target}", *left]
    arguments = parse_arguments(words)
    flags, key = tuple(canonical_flags(arguments.options)), cache_key or graph_hash(module_bytes)
    with ExitStack() as stack:
        folder = _work_folder(work_dir, create_subdir, stack)
        model, output = folder / f"model.MODULE_{key}.hlo_module.pb", folder / f"MODULE_{key}.neff"
        model.write_bytes(module_bytes)
        job = Job(model, output, arguments.words, flags, key, wrapper.retry_failed_compilation)
        status = _compile(job, wrapper)
        if status:
            raise CompileError(f"neuronx-cc failed with {status}")
        return output.read_bytes()


def _work_folder(work_dir: str | None, create_subdir: bool, stack: ExitStack) -> Path:
    prefix = "neuroncc_compile_workdir-"
    if work_dir is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
    Path(work_dir).mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=work_dir)) if create_subdir else Path(work_dir)


if __name__ == "__main__":
    sys.exit(main())
