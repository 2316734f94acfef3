"""The log lines of the compile cache, on stderr."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import datetime

LEVELS = {"INFO": 20, "WARNING": 30, "ERROR": 40}
CACHE, WRAPPER = "NEURON_CACHE", "NEURON_CC_WRAPPER"


@dataclass(frozen=True, slots=True)
class Log:
    """Says what is at least as grave as `level`."""

    level: str = "INFO"

    def say(self, level: str, tag: str, text: str) -> None:
        """`2023-12-29 15:18:00.558123:  14283  INFO ||NEURON_CACHE||: text`."""
        if LEVELS[level] >= LEVELS[self.level]:
            now = datetime.now().strftime("%Y-%m-%d %H:%M:%S.%f")
            print(f"{now}:  {os.getpid()}  {level} ||{tag}||: {text}", file=sys.stderr, flush=True)
