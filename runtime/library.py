"""Builds libtorchneuron, libtfneuron, libnrt and libneuronkernels from the C++ sources beside it.

A library is compiled on first use into `$XDG_CACHE_HOME/neuron-emulator/native/<key>/` and used
from there ever after. The key is a hash of the sources, the compiler command, the packages whose
headers it includes and, for libneuronkernels, the processor, so another of any of them builds anew.

    python -m runtime.library build [NAME]     compiles ahead of time
    python -m runtime.library path [NAME]      prints where the library is
    python -m runtime.library include          prints where their headers are
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
    """A shared library: its name without `lib` and `.so`, its sources, what they are built with."""

    name: str
    sources: tuple[str, ...]
    package: str = ""  # whose headers it includes
    embeds: bool = True  # whether it may start a Python of its own

    @property
    def file(self) -> str:
        return f"lib{self.name}.so"


TORCHNEURON = Library(
    "torchneuron",
    ("bridge.cc", "buffers.cc", "low_level.cc", "model.cc", "python_api.cc"),
    package="torch",
)
TFNEURON = Library("tfneuron", ("neuron_op.cc", "python_api.cc"), package="tensorflow")
NRT = Library("nrt", ("nrt.cc", "nrt_status.cc", "python_api.cc"))
KERNELS = Library(
    "neuronkernels",
    (
        "kernels/amx.cc",
        "kernels/chain.cc",
        "kernels/contract.cc",
        "kernels/ffi.cc",
        "kernels/kernel.cc",
        "kernels/moves.cc",
        "kernels/packing.cc",
        "kernels/parallel.cc",
        "kernels/rows.cc",
        "kernels/sequence.cc",
        "kernels/slide.cc",
        "kernels/staging.cc",
        "kernels/tile.cc",
        "kernels/work.cc",
        "kernels/windows.cc",
    ),
    package="jaxlib",
    embeds=False,
)
LIBRARIES = {library.name: library for library in (TORCHNEURON, TFNEURON, NRT, KERNELS)}


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
    check_trusted(target)
    return target


def library_path(library: Library = TORCHNEURON) -> Path:
    """Returns where a library for this environment is, or will be once it is built."""
    return cache_directory() / _key(library) / library.file


def include_path(library: Library = TORCHNEURON) -> Path:
    """Returns where the libraries' headers are."""
    return _SOURCES


def _key(library: Library) -> str:
    digest = hashlib.sha256()
    version = importlib.metadata.version(library.package) if library.package else ""
    command = (*_compiler(), *_compile_flags(library), *_link_flags(library))
    machine = processor() if library is KERNELS else os.uname().machine
    for part in (library.name, version, machine, *command):
        digest.update(part.encode() + b"\0")
    sources = [_SOURCES / name for name in library.sources]
    headers = {header for source in sources for header in source.parent.glob("*.h")}
    for path in sorted((*sources, *headers)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:20]


def cache_directory() -> Path:
    """Returns the folder of the libraries."""
    root = setting("XDG_CACHE_HOME")
    base = Path(root) if os.path.isabs(root) else Path.home() / ".cache"
    return base / "neuron-emulator" / "native"


def _compiler() -> list[str]:
    return shlex.split(setting("CXX"))


@functools.cache
def processor() -> str:
    """What decides which instructions `-march=native` may use here: the model and its features."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return os.uname().machine
    told = ("model name", "flags", "Features", "CPU part")
    return "\n".join((os.uname().machine, *(line for line in lines if line.startswith(told))))


def _package_directory(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"runtime.library: {package} must be installed, got no such module")
    return Path(spec.origin).parent


def _compile_flags(library: Library) -> list[str]:
    package = PACKAGES[library.package]
    return [
        *("-std=c++17", "-fPIC", "-Wall"),
        *(f"-isystem{_package_directory(library.package) / path}" for path in package.includes),
        *package.flags,
        *(_embedding() if library.embeds else _kernel_flags()),
    ]


def _embedding() -> list[str]:
    embedded = {
        "NEURON_PYTHON": _python(),
        "NEURON_LIBPYTHON": shared_libpython(),
        "NEURON_SOURCE_ROOT": str(Path(__file__).parent.parent),
    }
    return ["-O2", *(f'-D{name}="{_escaped(value)}"' for name, value in embedded.items())]


# What the kernels may be compiled for: this processor, or any with AVX2.
_PROCESSORS = {"native": "-march=native", "avx2": "-march=x86-64-v3"}


def _kernel_flags() -> list[str]:
    # A product and a sum are two instructions of the program, each rounded.
    exact = ("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
    return ["-O3", _PROCESSORS.get(setting("NEURON_EMULATOR_KERNELS"), "-march=native"), *exact]


# Several libraries have python_api.cc: in one process, each must use its own.
_OWN_SYMBOLS = ("-fvisibility=hidden",)


@dataclass(frozen=True, slots=True)
class Package:
    """What a library that uses a package is built with; folders count from where that is."""

    includes: tuple[str, ...] = ()
    libraries: str = "."  # the folder of its libraries
    flags: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


PACKAGES = {
    "": Package(flags=_OWN_SYMBOLS),
    "jaxlib": Package(("include",)),
    "torch": Package(
        ("include", "include/torch/csrc/api/include"), "lib", links=("-ltorch_cpu", "-lc10")
    ),
    "tensorflow": Package(
        ("include",),
        flags=(*_OWN_SYMBOLS, "-D_GLIBCXX_USE_CXX11_ABI=1", "-DEIGEN_MAX_ALIGN_BYTES=64", "-w"),
        links=("-l:libtensorflow_framework.so.2",),
    ),
}


def _link_flags(library: Library) -> list[str]:
    system = ["-ldl", "-pthread"]
    package = PACKAGES[library.package]
    if not package.links:
        return system
    directory = (_package_directory(library.package) / package.libraries).resolve()
    return [f"-L{directory}", f"-Wl,-rpath,{directory}", *package.links, *system]


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


def check_trusted(target: Path) -> None:
    """Refuses native code that another user could have put there: raises RuntimeError.

    Raises FileNotFoundError where there is none.
    """
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
