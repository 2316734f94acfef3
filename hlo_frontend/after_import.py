"""Does what a framework needs right after it was imported, without importing it.

Like the aliases, this is set up when Python starts, so the module imports nothing.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

# The module, what is imported after it, and what of that is called, for it may be imported before.
AFTER = {
    "tensorflow": ("tensorflow_neuron", ""),
    "keras.src.saving.saving_api": ("tensorflow_neuron.keras3", "teach_loading"),
}


# Modules that are being looked for right now.
_waiting: "set[str]" = set()


class AfterImport:
    """The first of Python's finders: it finds what the others find, and adds what comes after."""

    @staticmethod
    def find_spec(
        name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if name not in AFTER or name in _waiting:
            return None
        _waiting.add(name)
        try:
            from importlib.util import find_spec

            spec = find_spec(name)
        finally:
            _waiting.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _then(  # type: ignore[assignment,method-assign]
                spec.loader.exec_module, AFTER[name]
            )
        return spec


def _then(
    run: "Callable[[ModuleType], None]", following: "tuple[str, str]"
) -> "Callable[[ModuleType], None]":
    def exec_module(module: "ModuleType") -> None:
        run(module)
        _follow(*following)

    return exec_module


def _follow(following: str, called: str) -> None:
    """Import what comes after, where it is installed; that it cannot do its work is a warning."""
    from importlib import import_module
    from importlib.util import find_spec

    if find_spec(following.partition(".")[0]) is None:
        return
    try:
        module = import_module(following)
        if called:
            getattr(module, called)()
    except (ImportError, OSError, RuntimeError) as error:
        import warnings

        warnings.warn(f"models for NeuronCores cannot be loaded: {error}", stacklevel=2)


def install() -> None:
    """Do so from now on; a second call does nothing."""
    if AfterImport not in sys.meta_path:
        sys.meta_path.insert(0, AfterImport)
