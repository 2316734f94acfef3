"""The compile cache: where it is, how it is laid out, and the files in it.

<cache>/neuronxcc-<version>/MODULE_<graph's hash>+<flags' hash>/
    compile_flags.json  model.hlo_module.pb  model.log
    model.neff  model.done          where the compilation succeeded
    model.hlo_module.pb.lock        while a process compiles
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from libneuronxla.locks import FileLock, remove_if_free
from libneuronxla.mapping import mapped_bytes
from neff.files import write_atomically
from neuronxcc.version import __version__
from runtime.settings import setting

HLO, NEFF, DONE = "model.hlo_module.pb", "model.neff", "model.done"
LOG, FLAGS, LOCK = "model.log", "compile_flags.json", ".lock"
PREFIX = "neuronxcc-"


class CacheError(OSError):
    """The cache cannot be used: the message says why, and what else could be."""


class CacheUrl:
    """The place of a cache: a folder, or (refused when it is opened) an S3 prefix."""

    def __init__(self, url: str, url_type: str | None = None) -> None:
        self.url = str(url)
        self.url_type = url_type or ("s3" if self.url.startswith("s3://") else "fs")

    def __str__(self) -> str:
        return self.url

    def is_s3(self) -> bool:
        return self.url_type == "s3"

    def is_fs(self) -> bool:
        return self.url_type == "fs"

    @staticmethod
    def get_cache_url(cache_dir: str | os.PathLike[str] | None = None) -> CacheUrl:
        """`cache_dir`, else `--cache_dir` in NEURON_CC_FLAGS, else NEURON_COMPILE_CACHE_URL."""
        url = cache_dir or flagged_cache(shlex.split(setting("NEURON_CC_FLAGS")))
        return CacheUrl(str(url or setting("NEURON_COMPILE_CACHE_URL")))


def flagged_cache(words: Sequence[str]) -> str | None:
    """The value of the last `--cache_dir` among flags."""
    found = None
    for position, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag == "--cache_dir":
            found = value if equals else "".join(words[position + 1 : position + 2])
    return found


class CompileCache(ABC):
    """What every cache answers to. Paths are those that `get_cache_dir` and `get_hlos` give."""

    cache_type = "base"

    def __init__(self, cache_url: CacheUrl) -> None:
        self.cache_url = cache_url
        self.cache_path = cache_url.url

    def get_cache_dir(self, model_hash: str, compile_flags_str: str) -> str:
        """The folder of a graph compiled with some flags."""
        flags = hashlib.md5(compile_flags_str.encode(), usedforsecurity=False).hexdigest()[:8]
        return self.get_cache_dir_with_cache_key(f"MODULE_{model_hash}+{flags}")

    def get_cache_dir_with_cache_key(self, cache_key: str) -> str:
        """A folder of this compiler version's, by its name."""
        return f"{self.cache_path}/{PREFIX}{__version__}/{cache_key}"

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""

    @abstractmethod
    def upload_file(self, cache_path: str, src_path: str) -> None:
        """Put a copy of a file into the cache."""

    @abstractmethod
    def upload_string_to_file(self, cache_path: str, data: str) -> None:
        """Put a text into the cache."""

    @abstractmethod
    def download_file(self, filename: str, dst_path: str) -> None:
        """Copy a file out of the cache."""

    @abstractmethod
    def download_file_to_string(self, filename: str, limit: int | None = None) -> str:
        """The text of a file, at most `limit` bytes of it."""

    @abstractmethod
    def hlo_acquire_lock(self, h: str) -> bool:
        """Take the right to compile a graph, by its path in the cache; False where another has it.

        It ends with `hlo_release_lock`, or with the process.
        """

    @abstractmethod
    def hlo_release_lock(self, h: str) -> None:
        """Give the right back."""

    @abstractmethod
    def get_hlos(self, failed_neff_str: str = "") -> list[str]:
        """The graphs that this compiler version has not compiled yet, by their paths.

        Not those that failed; with `failed_neff_str`, also those whose log holds it.
        """

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file, or a folder and what is in it."""

    @abstractmethod
    def clean(self) -> None:
        """Remove what compilers left here, of every version; nothing else."""

    @abstractmethod
    def clear_locks(self) -> None:
        """Remove the files of locks that nobody holds."""


class CompileCacheFs(CompileCache):
    """A cache in a folder. Files appear whole or not at all; nothing is ever evicted."""

    cache_type = "fs"

    def __init__(self, cache_url: CacheUrl) -> None:
        super().__init__(cache_url)
        self.cache_path = os.path.abspath(os.path.expanduser(cache_url.url))
        self._locks: dict[str, FileLock] = {}

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def upload_file(self, cache_path: str, src_path: str) -> None:
        with mapped_bytes(src_path) as data:
            self._put(cache_path, data)

    def upload_string_to_file(self, cache_path: str, data: str) -> None:
        self._put(cache_path, data.encode())

    def _put(self, path: str, data: bytes | memoryview) -> None:
        self._make(Path(path).parent)
        try:
            write_atomically(Path(path), data)
        except OSError as error:
            raise self._unusable(error) from error

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> CacheError:
        return CacheError(
            f"compile cache: {self.cache_path} must be a folder that can be written to "
            f"({error.strerror})\n  try: NEURON_COMPILE_CACHE_URL=FOLDER, or --no_cache"
        )

    def download_file(self, filename: str, dst_path: str) -> None:
        with mapped_bytes(filename) as data:
            write_atomically(Path(dst_path), data)

    def download_file_to_string(self, filename: str, limit: int | None = None) -> str:
        with open(filename, "rb") as file:
            return file.read(-1 if limit is None else limit).decode(errors="replace")

    def hlo_acquire_lock(self, h: str) -> bool:
        self._make(Path(h).parent)
        lock = self._locks.setdefault(h, FileLock(Path(h + LOCK)))
        try:
            acquired = lock.acquire()
        except OSError as error:
            raise self._unusable(error) from error
        if acquired:
            for left in Path(h).parent.glob(".*"):  # half a file, of a process that was killed
                left.unlink(missing_ok=True)
        return acquired

    def hlo_release_lock(self, h: str) -> None:
        if lock := self._locks.pop(h, None):
            lock.release()

    def get_hlos(self, failed_neff_str: str = "") -> list[str]:
        folders = Path(self.get_cache_dir_with_cache_key("")).glob("MODULE_*")
        waiting = [f for f in sorted(folders) if (f / HLO).exists() and not (f / DONE).exists()]
        return [str(f / HLO) for f in waiting if _is_wanted(f, failed_neff_str)]

    def remove(self, path: str) -> None:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def clean(self) -> None:
        for folder in Path(self.cache_path).glob(f"{PREFIX}*"):
            shutil.rmtree(folder)

    def clear_locks(self) -> None:
        for path in Path(self.cache_path).glob(f"{PREFIX}*/**/*{LOCK}"):
            remove_if_free(path)

    def flags_of(self, model_hash: str) -> list[list[str]]:
        """The flags a graph is cached with: what a miss can be explained by."""
        folder = Path(self.get_cache_dir_with_cache_key(""))
        found: list[Any] = [
            json.loads(path.read_text()) for path in folder.glob(f"MODULE_{model_hash}+*/{FLAGS}")
        ]
        return sorted(found)


def _is_wanted(folder: Path, failed: str) -> bool:
    log = folder / LOG
    return not log.exists() or bool(failed and failed in log.read_text(errors="replace"))


class CompileCacheS3(CompileCache):
    """A cache in S3, which the emulator does not reach."""

    cache_type = "s3"

    def __new__(cls, cache_url: CacheUrl) -> NoReturn:
        raise CacheError(
            f"compile cache: the emulator keeps its cache in a folder, got {cache_url}\n"
            "  try: NEURON_COMPILE_CACHE_URL=FOLDER, or --no_cache"
        )


def create_compile_cache(cache_url: CacheUrl) -> CompileCache:
    """The cache at a place. Raises CacheError for one in S3."""
    return CompileCacheS3(cache_url) if cache_url.is_s3() else CompileCacheFs(cache_url)
