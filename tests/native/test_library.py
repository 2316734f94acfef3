"""Building and caching the C++ library, with a compiler that only pretends."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime import library
from tests.native.conftest import ROOT

PRETEND = """#!/bin/sh
echo call >> {log}
sleep 0.1
while [ $# -gt 0 ]; do
  if [ "$1" = -o ]; then echo library > "$2"; fi
  shift
done
"""
COMMANDS = len(library.TORCHNEURON.sources) + 1  # and one to link


@pytest.fixture
def compiler(tmp_path) -> Path:
    path = tmp_path / "pretend-cxx"
    path.write_text(PRETEND.format(log=tmp_path / "log"))
    path.chmod(0o755)
    return path


def build(cache: Path, *arguments: str, **env: object) -> subprocess.CompletedProcess:
    """Runs the build in a process of its own."""
    settings = {key: str(value) for key, value in env.items()}
    return subprocess.run(
        [sys.executable, "-m", "runtime.library", "build", *arguments],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), **settings},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_builds_once(tmp_path, compiler):
    first = build(tmp_path, CXX=compiler)
    assert first.returncode == 0 and "building libtorchneuron.so" in first.stderr
    path = Path(first.stdout.strip())
    assert path.read_text() == "library\n" and tmp_path in path.parents
    second = build(tmp_path, CXX=compiler)
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert (tmp_path / "log").read_text().count("call") == COMMANDS
    assert sorted(p.name for p in path.parent.iterdir()) == ["libtorchneuron.so", "lock"]


def test_every_source_is_of_a_library():
    sources = {name for made in library.LIBRARIES.values() for name in made.sources}
    native = ROOT / "runtime/native"
    assert sources == {str(path.relative_to(native)) for path in native.rglob("*.cc")}


def test_libraries_have_directories_of_their_own(tmp_path, compiler):
    made = [Path(build(tmp_path, *name, CXX=compiler).stdout.strip()) for name in ([], ["nrt"])]
    assert [path.name for path in made] == ["libtorchneuron.so", "libnrt.so"]
    assert made[0].parent != made[1].parent
    count = len(library.TORCHNEURON.sources) + len(library.NRT.sources) + 2
    assert (tmp_path / "log").read_text().count("call") == count


def test_processes_wait_for_one_another(tmp_path, compiler):
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: build(tmp_path, CXX=compiler), range(4)))
    assert [one.returncode for one in done] == [0] * 4
    assert (tmp_path / "log").read_text().count("call") == COMMANDS


def test_the_compiler_is_part_of_the_key(tmp_path, compiler):
    first = build(tmp_path, CXX=compiler)
    second = build(tmp_path, CXX=f"{compiler} -g")
    assert second.returncode == 0 and first.stdout != second.stdout


def test_no_compiler(tmp_path):
    done = build(tmp_path, CXX="no-such-compiler")
    assert done.returncode == 1
    assert "got no 'no-such-compiler' on PATH\n  try: install g++, or set CXX" in done.stderr


def test_a_failed_build_leaves_nothing_behind(tmp_path):
    done = build(tmp_path, CXX="false")
    assert done.returncode == 1 and "must succeed, got exit status 1 from false -std" in done.stderr
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["lock"]


def test_a_cache_that_cannot_be_written(tmp_path, compiler):
    (tmp_path / "file").write_text("")
    done = build(tmp_path / "file", CXX=compiler)
    assert done.returncode == 1 and "the cache directory must be writable, got" in done.stderr
    assert "try: XDG_CACHE_HOME=" in done.stderr


@pytest.mark.parametrize("which", ["file", "directory"])
def test_what_others_could_have_written_is_refused(tmp_path, compiler, which):
    path = Path(build(tmp_path, CXX=compiler).stdout.strip())
    target = path if which == "file" else path.parent
    target.chmod(target.stat().st_mode | stat.S_IWOTH)
    done = build(tmp_path, CXX=compiler)
    assert done.returncode == 1 and f"{target} must belong to this user" in done.stderr


def test_a_relative_cache_directory_is_ignored(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", "/home/someone")
    expected = Path("/home/someone/.cache/neuron-emulator/native")
    assert library.library_path().parents[1] == expected


def test_where_things_are(capsys):
    assert library.main(["path", "nrt"]) == library.main(["include"]) == 0
    path, include = map(Path, capsys.readouterr().out.split())
    assert path.name == "libnrt.so"
    assert {"nrt.h", "torchneuron.h"} <= {header.name for header in include.glob("*.h")}


@pytest.mark.parametrize("arguments", [[], ["bild"], ["build", "nrd"], ["build", "nrt", "now"]])
def test_usage(arguments, capsys):
    assert library.main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: python -m runtime.library {build,path,incl")
