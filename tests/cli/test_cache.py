"""The compile cache: its layout, what hits and what misses, and processes that share or die."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import libneuronxla
from libneuronxla import neuron_xla_compile
from libneuronxla.neuron_cc_cache import (
    CacheError,
    CacheUrl,
    CompileCache,
    CompileCacheFs,
    CompileCacheS3,
    create_compile_cache,
)
from libneuronxla.neuron_cc_wrapper import main
from libneuronxla.neuron_parallel_compile import main as tend
from neff.container import read_neff
from neff.errors import CompileError, OptionError
from neuronxcc import __version__
from tests.cli.models import SINE, UNKNOWN_CALL, proto

ROOT = Path(__file__).parents[2]
COMPILE = ["compile", "hlo.pb", "--framework=XLA", "--target=trn1", "--output=f.neff"]
FAILING = ["compile", "unknown.txt", "--framework=XLA", "--target=trn1", "--output=f.neff"]
HIT = r"Using a cached neff at \S+/model\.neff\. Exiting with a successfully compiled graph\."
FILES = ["compile_flags.json", "model.done", "model.hlo_module.pb", "model.log", "model.neff"]


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEURON_COMPILE_CACHE_URL", str(tmp_path / "cache"))
    monkeypatch.delenv("NEURON_CC_FLAGS", raising=False)
    Path("hlo.pb").write_bytes(proto())
    Path("unknown.txt").write_text(UNKNOWN_CALL)


def entries(cache: str = "cache") -> list[Path]:
    return sorted(Path(cache, f"neuronxcc-{__version__}").glob("MODULE_*"))


def test_the_second_compilation_is_taken_from_the_cache(capfd):
    assert main(COMPILE) == 0
    err = capfd.readouterr().err
    assert re.search(r"\d+  INFO \|\|NEURON_CACHE\|\|: Compile cache path: \S+/cache\n", err)
    assert re.search(r"No cached neff at \S+ \(--target=trn1\): a new graph\n", err)
    assert "INFO ||NEURON_CC_WRAPPER||: Call compiler with cmd: neuronx-cc compile hlo.pb" in err
    first = Path("f.neff").read_bytes()
    Path("f.neff").unlink()
    assert main(COMPILE) == 0
    assert re.search(HIT, capfd.readouterr().err)
    assert Path("f.neff").read_bytes() == first


def test_the_layout_is_the_documented_one():
    assert main([*COMPILE, "--auto-cast", "matmult", "--verbose=error"]) == 0
    (entry,) = entries()
    assert re.fullmatch(r"MODULE_\d+\+[0-9a-f]{8}", entry.name)
    assert sorted(os.listdir(entry)) == FILES
    assert json.loads((entry / "compile_flags.json").read_text()) == [
        "--target=trn1",
        "--auto-cast=matmult",
    ]
    assert (entry / "model.hlo_module.pb").read_bytes() == proto()
    assert (entry / "model.done").read_bytes() == b""
    assert read_neff((entry / "model.neff").read_bytes()).program.name == "sines"


@pytest.mark.parametrize(
    ("words", "hit"),
    [
        (["--verbose=error"], True),
        (["--optlevel=2", "--target", "trn1"], True),  # the default, and what was said
        (["--logfile=other.txt"], True),
        (["--optlevel=1"], False),
        (["--target=inf2"], False),
        (["--enable-fast-loading-neuron-binaries"], False),
    ],
)
def test_the_key_is_the_graph_and_the_flags_that_matter(words, hit, capfd):
    assert main(COMPILE) == 0
    assert main([*COMPILE, *words]) == 0
    err = capfd.readouterr().err
    assert bool(re.search(HIT, err)) is hit
    assert len(entries()) == (1 if hit else 2)
    assert hit or "the graph is cached for: --target=trn1\n" in err


def test_another_graph_misses():
    assert main(COMPILE) == 0
    Path("hlo.pb").write_bytes(proto(SINE.replace("sine(", "cosine(")))
    assert main(COMPILE) == 0
    assert len(entries()) == 2


def test_a_failure_is_cached_until_it_is_retried(capfd):
    for _ in range(2):
        assert main(FAILING) == 1
    err = capfd.readouterr().err
    assert err.count("Call compiler with cmd") == 1
    assert re.search(
        r"ERROR \|\|NEURON_CACHE\|\|: Got a cached failed neff at \S+/model\.neff\. Will skip "
        r"compilation, please set --retry_failed_compilation for recompilation\.\n"
        r".*\[NCC_EVRF015\]",
        err,
    )
    (entry,) = entries()
    assert sorted(os.listdir(entry)) == [
        "compile_flags.json", "model.hlo_module.pb", "model.log"]  # fmt: skip
    assert main([*FAILING, "--retry_failed_compilation"]) == 1
    assert "Call compiler with cmd" in capfd.readouterr().err


def test_what_is_not_the_models_fault_is_not_cached(monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "f.neff")

    monkeypatch.setattr("neuronxcc.compilation.compile_module", full)
    assert main(COMPILE) == 74
    assert [os.listdir(e) for e in entries()] == [[]]
    monkeypatch.undo()


def test_without_cache(capfd):
    assert main([*COMPILE, "--no_cache"]) == 0
    assert Path("f.neff").exists() and not Path("cache").exists()


def test_where_the_cache_is(monkeypatch, tmp_path):
    def place(cache_dir=None):
        return str(CacheUrl.get_cache_url(cache_dir=cache_dir))

    assert place() == str(tmp_path / "cache")
    monkeypatch.setenv("NEURON_CC_FLAGS", "--auto-cast=none --cache_dir=flagged")
    assert place() == "flagged"
    monkeypatch.setenv("NEURON_CC_FLAGS", "--cache_dir flagged2")
    assert place() == "flagged2"
    assert place("given") == "given"
    monkeypatch.delenv("NEURON_CC_FLAGS")
    monkeypatch.delenv("NEURON_COMPILE_CACHE_URL")
    assert place() == "/var/tmp/neuron-compile-cache"


def test_flags_of_the_environment_come_first(monkeypatch):
    monkeypatch.setenv("NEURON_CC_FLAGS", "--optlevel=1 --target=inf2 --cache_dir=flagged")
    assert main(COMPILE) == 0
    (entry,) = entries("flagged")
    flags = json.loads((entry / "compile_flags.json").read_text())
    assert flags == ["--target=trn1", "--optlevel=1"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--cache_dir=s3://bucket/prefix"], 74, "keeps its cache in a folder, got s3://bucket/pre"),
        (["--cache_dir=hlo.pb/cache"], 74, "must be a folder that can be written to"),
        (["--cache_dir"], 2, "--cache_dir needs a value"),
        (["--log_level=LOUD"], 2, "--log_level must be one of INFO, WARNING, ERROR, got 'LOUD'"),
        (["--no_such_flag"], 2, "unknown compiler option '--no_such_flag'"),
    ],
)  # fmt: skip
def test_what_is_refused(words, status, message, capfd):
    assert main([*COMPILE, *words]) == status
    err = capfd.readouterr().err
    assert message in err and "Traceback" not in err
    assert not Path("f.neff").exists()


def test_a_neff_that_has_no_place_is_not_compiled(capfd):
    assert main([*COMPILE, "--output=missing/f.neff"]) == 74
    err = capfd.readouterr().err
    assert err == "neuronx-cc: missing/f.neff: the output's folder must exist\n"
    assert not Path("cache").exists()


def test_log_level(capfd):
    assert main([*COMPILE, "--log_level=ERROR"]) == 0
    assert capfd.readouterr().err == ""


def test_a_damaged_neff_is_compiled_again(capfd):
    assert main(COMPILE) == 0
    whole = Path("f.neff").read_bytes()
    (entry,) = entries()
    for damaged in (whole[:-1], b""):
        (entry / "model.neff").write_bytes(damaged)
        assert main(COMPILE) == 0
        assert "is damaged: compiling again" in capfd.readouterr().err
        assert Path("f.neff").read_bytes() == whole
    assert not [n for n in os.listdir() if n.startswith(".")]


# The children count as this version, even if a source is edited while the tests run.
PINNED = """
import sys, time
import neuronxcc.version
neuronxcc.version.__version__ = sys.argv.pop(1)
"""
WRAPPER = """
from libneuronxla.neuron_cc_wrapper import main
sys.exit(main())
"""
# Takes the right to compile a graph, says so, and holds it until it is killed.
HOLDER = """
from libneuronxla.neuron_cc_cache import CacheUrl, CompileCacheFs
cache = CompileCacheFs(CacheUrl.get_cache_url())
print(cache.hlo_acquire_lock(sys.argv[1]), flush=True)
time.sleep(60)
"""
# Says that it compiles, and does not end.
ENDLESS = """
import neuronxcc.compilation
def endless(*_, **__):
    print("compiling", flush=True)
    time.sleep(60)
neuronxcc.compilation.compile_module = endless
"""


def child(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PINNED + code, __version__, *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_lock_ends_with_the_process_that_is_killed():
    cache = CompileCacheFs(CacheUrl.get_cache_url())
    hlo = f"{cache.get_cache_dir('1', '')}/model.hlo_module.pb"
    holder = child(HOLDER, hlo)
    assert holder.stdout is not None and holder.stderr is not None
    with holder:
        assert holder.stdout.readline() == "True\n"
        assert os.path.exists(hlo + ".lock")
        assert not cache.hlo_acquire_lock(hlo)
        cache.clear_locks()
        assert os.path.exists(hlo + ".lock")  # it is held
        holder.send_signal(signal.SIGKILL)
    assert os.path.exists(hlo + ".lock")
    assert cache.hlo_acquire_lock(hlo)
    assert not cache.hlo_acquire_lock(hlo)
    cache.hlo_release_lock(hlo)
    assert not os.path.exists(hlo + ".lock")


def test_a_compilation_that_was_killed_is_done_by_the_next_process():
    assert main([*COMPILE, "--verbose=error"]) == 0
    (entry,) = entries()
    for name in ("model.done", "model.neff"):
        (entry / name).unlink()
    (entry / ".model.neff.half").write_bytes(b"half a file")
    (entry / "model.hlo_module.pb.lock").touch()
    (entry / "model.log").unlink()
    assert main(COMPILE) == 0
    assert sorted(os.listdir(entry)) == FILES


def test_processes_that_want_the_same_compile_it_once():
    processes = [child(WRAPPER, *COMPILE[:-1], f"--output=f{n}.neff") for n in range(3)]
    said = [p.communicate(timeout=60)[1] for p in processes]
    assert [p.returncode for p in processes] == [0, 0, 0], said
    assert sum("Call compiler with cmd" in s for s in said) == 1
    assert sum(bool(re.search(HIT, s)) for s in said) == 2
    assert len({Path(f"f{n}.neff").read_bytes() for n in range(3)}) == 1


def test_a_process_waits_for_the_one_that_compiles():
    cache = CompileCacheFs(CacheUrl.get_cache_url())
    assert main(COMPILE) == 0
    (entry,) = entries()
    hlo = str(entry.resolve() / "model.hlo_module.pb")
    (entry / "model.done").unlink()
    assert cache.hlo_acquire_lock(hlo)
    waiting = child(WRAPPER, *COMPILE)
    assert waiting.stderr is not None
    with waiting:
        while "Another process compiles" not in waiting.stderr.readline():
            assert waiting.poll() is None
        (entry / "model.done").touch()
        cache.hlo_release_lock(hlo)
        assert re.search(HIT, waiting.stderr.read())
    assert waiting.returncode == 0


def test_what_tends_the_cache(tmp_path):
    assert main(COMPILE) == 0
    Path("cache/neuronxcc-0.0/MODULE_1+2").mkdir(parents=True)
    Path("cache/mine.txt").touch()
    (entry,) = entries()
    (entry / "model.hlo_module.pb.lock").touch()
    assert tend(["--command", "clear-locks"]) == 0
    assert sorted(os.listdir(entry)) == FILES
    assert tend(["--command", "clean"]) == 0
    assert os.listdir("cache") == ["mine.txt"]
    assert tend(["--command", "clean", "--cache_dir", "s3://b"]) == 1


def test_the_graphs_that_wait_to_be_compiled():
    cache = create_compile_cache(CacheUrl(str(Path("cache").resolve())))
    assert main(COMPILE) == 0
    assert main(FAILING) == 1
    waiting = f"{cache.get_cache_dir('7', '')}/model.hlo_module.pb"
    cache.upload_file(waiting, "hlo.pb")
    assert cache.get_hlos() == [waiting]
    assert len(cache.get_hlos("NCC_EVRF015")) == 2
    assert cache.get_hlos("another reason") == [waiting]


def test_the_methods_that_exporters_call(tmp_path):
    cache = create_compile_cache(CacheUrl(str(tmp_path / "c"), url_type="fs"))
    assert isinstance(cache, CompileCacheFs) and isinstance(cache, CompileCache)
    assert cache.cache_url.url == cache.cache_path == str(tmp_path / "c")
    assert not cache.cache_url.is_s3()
    folder = cache.get_cache_dir("123", "")
    assert folder == f"{cache.cache_path}/neuronxcc-{__version__}/MODULE_123+d41d8cd9"
    key = cache.get_cache_dir_with_cache_key("0_REGISTRY/x")
    assert key == f"{cache.cache_path}/neuronxcc-{__version__}/0_REGISTRY/x"
    cache.upload_string_to_file(f"{key}/a.json", "täxt")
    assert cache.exists(key) and cache.exists(f"{key}/a.json")
    assert cache.download_file_to_string(f"{key}/a.json") == "täxt"
    assert cache.download_file_to_string(f"{key}/a.json", 1) == "t"
    cache.upload_file(f"{folder}/model.neff", "hlo.pb")
    cache.download_file(f"{folder}/model.neff", "copy")
    assert Path("copy").read_bytes() == proto()
    cache.remove(f"{folder}/model.neff")
    cache.remove(key)
    assert not cache.exists(f"{folder}/model.neff") and not cache.exists(key)


def test_s3_is_refused():
    url = CacheUrl("s3://bucket/prefix")
    assert url.is_s3()
    for make in (create_compile_cache, CompileCacheS3):
        with pytest.raises(
            CacheError, match=r"in a folder, got s3://bucket/prefix\n  try: NEURON_"
        ):
            make(url)


class Remote(CompileCacheFs):
    """A cache that an exporter puts in the place of ours: in front of it, files from elsewhere."""

    def __init__(self, url: CacheUrl, elsewhere: Path) -> None:
        super().__init__(url)
        self.elsewhere = elsewhere

    def exists(self, path: str) -> bool:
        return super().exists(path) or self._there(path).exists()

    def download_file(self, filename: str, dst_path: str) -> None:
        os.symlink(self._there(filename), dst_path)

    def _there(self, path: str) -> Path:
        return self.elsewhere / os.path.relpath(path, self.cache_path)


def test_an_exporters_cache_takes_the_place_of_ours(monkeypatch, tmp_path, capfd):
    assert main(COMPILE) == 0
    shutil.move("cache", "elsewhere")
    Path("f.neff").unlink()
    for module in (libneuronxla.neuron_cc_cache, libneuronxla.neuron_cc_wrapper):
        monkeypatch.setattr(
            module, "create_compile_cache", lambda url: Remote(url, tmp_path / "elsewhere")
        )
    assert main(COMPILE) == 0
    assert re.search(HIT, capfd.readouterr().err)
    assert Path("f.neff").is_symlink()


def test_compiling_a_module_in_memory(tmp_path, capfd):
    neff = neuron_xla_compile(
        proto(),
        ["--auto-cast=none", "-O1"],
        input_format="hlo",
        platform_target="trn1",
        cache_key=None,
        retry_failed_compilation=False,
        lazy=True,
        use_cache=True,
        cache_dir=str(tmp_path / "mine"),
        work_dir=str(tmp_path / "kept"),
    )
    assert read_neff(neff).program.target == "trn1"
    assert len(entries("mine")) == 1
    (folder,) = Path("kept").iterdir()
    assert sorted(p.suffix for p in folder.iterdir()) == [".neff", ".pb"]
    again = neuron_xla_compile(proto(), "--auto-cast=none -O1", cache_dir=str(tmp_path / "mine"))
    assert again == neff
    assert re.search(HIT, capfd.readouterr().err)
    neuron_xla_compile(proto(), "-O1 --target=inf2", cache_key="key", cache_dir=str(tmp_path / "n"))
    assert [e.name.split("+")[0] for e in entries("n")] == ["MODULE_key"]


def test_threads_that_want_the_same_compile_it_once(capfd):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: neuron_xla_compile(proto(), ["-O1"]), range(4)))
    assert len(set(made)) == 1
    err = capfd.readouterr().err
    assert err.count("Call compiler with cmd") == 1
    assert len(re.findall(HIT, err)) == 3


def test_a_module_in_memory_that_is_refused():
    with pytest.raises(CompileError, match="neuronx-cc failed with 1"):
        neuron_xla_compile(UNKNOWN_CALL.encode(), [], use_cache=False)
    with pytest.raises(OptionError, match="input_format must be 'hlo', got 'mlir'"):
        neuron_xla_compile(b"", [], input_format="mlir")


def test_a_process_that_is_interrupted_leaves_the_graph_to_the_next():
    holder = child(ENDLESS + WRAPPER, *COMPILE)
    assert holder.stdout is not None
    with holder:
        line = holder.stdout.readline()
        assert "compiling" in line
        time.sleep(0.1)
        holder.send_signal(signal.SIGINT)
        assert holder.stderr is not None
        assert "neuronx-cc: interrupted\n" in holder.stderr.read()
    assert holder.returncode == 130
    assert [os.listdir(e) for e in entries()] == [[]]
    assert main(COMPILE) == 0
