"""The flags that are for the wrapper around the compiler, and not for the compiler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from libneuronxla.log import LEVELS
from neff.errors import OptionError


@dataclass(frozen=True, slots=True)
class WrapperOptions:
    """The flags that are for the wrapper and not for the compiler."""

    cache_dir: str | None = None
    no_cache: bool = False
    retry_failed_compilation: bool = False
    log_level: str = "INFO"


_SWITCHES = ("--no_cache", "--retry_failed_compilation")
_VALUES = ("--cache_dir", "--log_level")


def split_flags(words: Sequence[str]) -> tuple[WrapperOptions, list[str]]:
    """The wrapper's own flags, and the words left. Raises OptionError."""
    chosen: dict[str, Any] = {}
    left: list[str] = []
    remaining = iter(words)
    for word in remaining:
        flag, equals, value = word.partition("=")
        if flag in _SWITCHES and not equals:
            chosen[flag[2:]] = True
        elif flag in _VALUES:
            value = value if equals else next(remaining, "")
            if not value:
                raise OptionError(f"neuron_cc_wrapper: {flag} needs a value")
            chosen[flag[2:]] = value
        else:
            left.append(word)
    wrapper = WrapperOptions(**chosen)
    if wrapper.log_level not in LEVELS:
        raise OptionError(
            f"neuron_cc_wrapper: --log_level must be one of {', '.join(LEVELS)}, "
            f"got {wrapper.log_level!r}"
        )
    return wrapper, left
