"""Builds libtorchneuron, libtfneuron and libnrt from the C++ sources beside this module.

A library is compiled on first use into `$XDG_CACHE_HOME/neuron-emulator/native/<key>/` and used
from there ever after. The key is a hash of the sources, the compiler command and the framework
that it extends, so an upgrade of any of them builds anew.

    python -m runtime.library build [torchneuron|tfneuron|nrt]    compiles ahead of time
    python -m runtime.library path [torchneuron|tfneuron|nrt]     prints where the library is
    python -m runtime.library include                             prints where their headers are
"""

import fcntl
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.settings import setting

_SOURCES = Path(__file__).parent / "native"


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library: its name without `lib` and `.so`, its sources, what it extends if any."""

    name: str
    sources: tuple[str, ...]
    framework: str = ""

    @property
    def file(self) -> str:
        return f"lib{self.name}.so"


TORCHNEURON = Library(
    "torchneuron",
    ("bridge.cc", "buffers.cc", "low_level.cc", "model.cc", "python_api.cc"),
    framework="torch",
)
TFNEURON = Library("tfneuron", ("neuron_op.cc", "python_api.cc"), framework="tensorflow")
NRT = Library("nrt", ("nrt.cc", "nrt_status.cc", "python_api.cc"))
LIBRARIES = {library.name: library for library in (TORCHNEURON, TFNEURON, NRT)}


@functools.cache
def ensure_loaded() -> None:
    """Registers `neuron::Model` and the `neuron::forward*` operators, building them if necessary.

    Raises RuntimeError if there is no compiler, the build fails or the cache cannot be trusted.
    """
    import torch

    torch.classes.load_library(str(build()))


def build(library: Library = TORCHNEURON) -> Path:
    """Compiles a library unless that was done before, and returns its path.

    Safe to call from several processes at once: one compiles and the others wait for it.
    """
    target = library_path(library)
    if not target.exists():
        with _locked(target.parent):
            if not target.exists():
                _compile(library, target)
    _check_trusted(target)
    return target


def library_path(library: Library = TORCHNEURON) -> Path:
    """Returns where a library for this environment is, or will be once it is built."""
    return _cache_directory() / _key(library) / library.file


def include_path(library: Library = TORCHNEURON) -> Path:
    """Returns where the libraries' headers are."""
    return _SOURCES


def _key(library: Library) -> str:
    digest = hashlib.sha256()
    version = importlib.metadata.version(library.framework) if library.framework else ""
    command = (*_compiler(), *_compile_flags(library), *_link_flags(library))
    for part in (library.name, version, os.uname().machine, *command):
        digest.update(part.encode() + b"\0")
    for path in sorted((*(_SOURCES / name for name in library.sources), *_SOURCES.glob("*.h"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:20]


def _cache_directory() -> Path:
    root = setting("XDG_CACHE_HOME")
    base = Path(root) if os.path.isabs(root) else Path.home() / ".cache"
    return base / "neuron-emulator" / "native"


def _compiler() -> list[str]:
    return shlex.split(setting("CXX"))


def _directory_of(framework: str) -> Path:
    spec = importlib.util.find_spec(framework)
    if spec is None or spec.origin is None:
        raise RuntimeError(
            f"runtime.library: {FRAMEWORKS[framework].title} must be installed, got no module "
            f"{framework!r}"
        )
    return Path(spec.origin).parent


def _compile_flags(library: Library) -> list[str]:
    embedded = {
        "NEURON_PYTHON": _python(),
        "NEURON_LIBPYTHON": shared_libpython(),
        "NEURON_SOURCE_ROOT": str(Path(__file__).parent.parent),
    }
    return [
        *("-std=c++17", "-O2", "-fPIC", "-Wall"),
        *_framework_flags(library),
        *(f'-D{name}="{_escaped(value)}"' for name, value in embedded.items()),
    ]


# Several libraries have python_api.cc: in one process, each must use its own.
_OWN_SYMBOLS = ("-fvisibility=hidden",)


@dataclass(frozen=True, slots=True)
class Framework:
    """What a library that extends it is built with; folders count from the installed package."""

    title: str
    includes: tuple[str, ...]
    libraries: str  # the folder of its libraries
    flags: tuple[str, ...]
    links: tuple[str, ...]


FRAMEWORKS = {
    "torch": Framework(
        "PyTorch",
        ("include", "include/torch/csrc/api/include"),
        "lib",
        (),
        ("-ltorch_cpu", "-lc10"),
    ),
    "tensorflow": Framework(
        "TensorFlow",
        ("include",),
        ".",
        (*_OWN_SYMBOLS, "-D_GLIBCXX_USE_CXX11_ABI=1", "-DEIGEN_MAX_ALIGN_BYTES=64", "-w"),
        ("-l:libtensorflow_framework.so.2",),
    ),
}


def _framework_flags(library: Library) -> list[str]:
    if not library.framework:
        return list(_OWN_SYMBOLS)
    framework, directory = FRAMEWORKS[library.framework], _directory_of(library.framework)
    return [*(f"-isystem{directory / path}" for path in framework.includes), *framework.flags]


def _link_flags(library: Library) -> list[str]:
    system = ["-ldl", "-pthread"]
    if not library.framework:
        return system
    framework = FRAMEWORKS[library.framework]
    directory = (_directory_of(library.framework) / framework.libraries).resolve()
    return [f"-L{directory}", f"-Wl,-rpath,{directory}", *framework.links, *system]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _python() -> str:
    """This environment's interpreter by one name, whichever of its names it was started by."""
    path = Path(sys.prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(path) if path.exists() else sys.executable


def shared_libpython() -> str:
    """The shared libpython of this Python, which programs without Python load; "" if none."""
    directories = sysconfig.get_config_vars("LIBDIR", "LIBPL")
    names = sysconfig.get_config_vars("INSTSONAME", "LDLIBRARY")
    for directory in filter(None, directories):
        for name in filter(None, names):
            path = Path(directory) / name
            if ".so" in name and path.exists():
                return str(path)
    return ""


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RuntimeError(
            f"runtime.library: the cache directory must be writable, got {error}\n"
            "  try: XDG_CACHE_HOME=/a/writable/directory"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # released when closed, also by a crash
        yield
    finally:
        os.close(descriptor)


def _compile(library: Library, target: Path) -> None:
    compiler = _compiler()
    if shutil.which(compiler[0]) is None:
        raise RuntimeError(
            f"runtime.library: a C++17 compiler must be there to build {library.file},"
            f" got no '{compiler[0]}' on PATH\n  try: install g++, or set CXX"
        )
    print(f"neuron: building {library.file} (once, about 10 s)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as directory:
        sources = [_SOURCES / name for name in library.sources]
        objects = [str(Path(directory) / source.stem) + ".o" for source in sources]
        commands = [
            [*compiler, *_compile_flags(library), "-c", str(source), "-o", output]
            for source, output in zip(sources, objects, strict=True)
        ]
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for done in [pool.submit(_run, library, command) for command in commands]:
                done.result()
        linked = Path(directory) / library.file
        link = [*compiler, "-shared", "-o", str(linked), *objects, *_link_flags(library)]
        _run(library, link)
        linked.chmod(0o755)
        os.replace(linked, target)


def _run(library: Library, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(
            f"runtime.library: building {library.file} must succeed, got exit status"
            f" {done.returncode} from {shlex.join(command)}\n{done.stderr}"
        )


def _check_trusted(target: Path) -> None:
    """Refuses native code that another user could have put there."""
    for path in (target, target.parent):
        status = path.stat()
        if status.st_uid not in (os.geteuid(), 0) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise RuntimeError(
                f"runtime.library: {path} must belong to this user and be writable by nobody else,"
                f" got owner {status.st_uid} and mode {stat.filemode(status.st_mode)}"
            )


def main(arguments: list[str]) -> int:
    """Runs `build`, `path` or `include` for a library, and prints the path."""
    actions = {"build": build, "path": library_path, "include": include_path}
    action = arguments[0] if arguments else ""
    name = arguments[1] if len(arguments) > 1 else TORCHNEURON.name
    if len(arguments) > 2 or action not in actions or name not in LIBRARIES:
        usage = f"usage: python -m runtime.library {{build,path,include}} [{'|'.join(LIBRARIES)}]"
        print(usage, file=sys.stderr)
        return 2
    print(actions[action](LIBRARIES[name]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
