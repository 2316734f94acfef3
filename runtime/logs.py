"""The runtime's own log, in its documented line format, level and location."""

from __future__ import annotations

import os
import sys
import syslog
import threading
from datetime import datetime
from enum import IntEnum
from pathlib import Path

from runtime.settings import setting


class Level(IntEnum):
    """How much is said; a line is written where its level is at most the one that is set."""

    QUIET = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    DEBUG = 4
    TRACE = 5


COMPONENTS = ("TDRV", "NMGR", "NRT")  # those whose level and location can be set apart
_SYSLOG = {Level.ERROR: syslog.LOG_ERR, Level.WARNING: syslog.LOG_WARNING}
_lock = threading.Lock()


def level_of(component: str) -> Level:
    """The level in force for a component, now. syslog says more by default than the console."""
    name = _of_component("NEURON_RT_LOG_LEVEL", component)
    if not name:
        return Level.INFO if _location(component) == "syslog" else Level.ERROR
    return Level["WARNING" if name == "WARN" else name]


def log(level: Level, component: str, function: str, message: str) -> None:
    """Write `message` to the place that is set, one line of the log for each of its lines."""
    if level > level_of(component):
        return
    location = _location(component)
    for text in message.splitlines():
        said = f"{level.name}  {component}:{function:<36} {text}"
        if location == "syslog":
            syslog.syslog(_SYSLOG.get(level, syslog.LOG_INFO), said)
            continue
        line = f"{_now()} {os.getpid()}:{threading.get_native_id()} {said}\n"
        with _lock:
            if location == "console":
                sys.stderr.write(line)
            else:
                with Path(location).open("a", encoding="utf-8") as file:
                    file.write(line)


def _now() -> str:
    return datetime.now().strftime("%Y-%b-%d %H:%M:%S.%f")


def _location(component: str) -> str:
    return _of_component("NEURON_RT_LOG_LOCATION", component)


def _of_component(name: str, component: str) -> str:
    own = setting(f"{name}_{component}") if component in COMPONENTS else ""
    return own or setting(name)
