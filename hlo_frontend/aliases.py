"""Serves documented import names, where nothing else has them, from the packages behind them.

A file beside the installed packages calls `install` when Python starts, so this module imports
nothing, and nothing is looked up before somebody imports one of the names.
"""

import sys

from hlo_frontend import after_import

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` and `importlib.abc` would cost more than all the rest
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

# The documented name, and the module that answers to it: the very same module object.
ALIASES = {
    "aimet_torch.model_preparer": "hlo_frontend.model_preparer",
    "aimet_torch.elementwise_ops": "hlo_frontend.model_preparer.modules",
    "aimet_torch.nn.modules.custom": "hlo_frontend.model_preparer.modules",
    "aimet_torch._base.nn.modules.custom": "hlo_frontend.model_preparer.modules",
    "aimet_torch.v1.nn.modules.custom": "hlo_frontend.model_preparer.modules",
    "tensorflow.neuron": "tensorflow_neuron",
    "torch.neuron": "torch_neuron",
    "torch.neuronx": "torch_neuronx",
}

# Packages that hold nothing but the names above: they exist where those do.
EMPTY_PACKAGES = {
    "aimet_torch": "hlo_frontend.model_preparer",
    "aimet_torch.nn": "hlo_frontend.model_preparer",
    "aimet_torch.nn.modules": "hlo_frontend.model_preparer",
    "aimet_torch._base": "hlo_frontend.model_preparer",
    "aimet_torch._base.nn": "hlo_frontend.model_preparer",
    "aimet_torch._base.nn.modules": "hlo_frontend.model_preparer",
    "aimet_torch.v1": "hlo_frontend.model_preparer",
    "aimet_torch.v1.nn": "hlo_frontend.model_preparer",
    "aimet_torch.v1.nn.modules": "hlo_frontend.model_preparer",
}


def _can_be_imported(name: str) -> bool:
    from importlib.util import find_spec

    return name in sys.modules or find_spec(name) is not None


def _spec(name: str, loader: object, *, package: bool = False) -> "ModuleSpec":
    from importlib.machinery import ModuleSpec

    return ModuleSpec(name, loader, origin=__name__, is_package=package)  # type: ignore[arg-type]


class EmptyPackage:
    """Loads a package without a file."""

    @staticmethod
    def create_module(spec: "ModuleSpec") -> None:
        return None

    @staticmethod
    def exec_module(module: "ModuleType") -> None:
        module.__doc__ = "Names that the Neuron emulator serves: the real package is not installed."


class SameModule:
    """Loads a name by importing the module `real` and giving that out under both names."""

    def __init__(self, real: str) -> None:
        self.real = real
        self.own_spec: ModuleSpec | None = None

    def create_module(self, spec: "ModuleSpec") -> "ModuleType":
        from importlib import import_module

        module = import_module(self.real)
        self.own_spec = module.__spec__
        return module

    def exec_module(self, module: "ModuleType") -> None:
        module.__spec__ = self.own_spec  # Python has just put the alias's there
        if BeneathAliases not in sys.meta_path:
            sys.meta_path.insert(0, BeneathAliases)


def _is_ours(package: str) -> bool:
    """Whether `package` was loaded here, or is not the kind of package that only we may extend."""
    if package not in EMPTY_PACKAGES:
        return True  # the framework itself
    loaded = sys.modules.get(package)
    return loaded is None or getattr(loaded.__spec__, "origin", None) == __name__


class DocumentedNames:
    """The last of Python's finders: it is asked for a name that nothing else has."""

    @staticmethod
    def find_spec(
        name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        real = ALIASES.get(name) or EMPTY_PACKAGES.get(name)
        if real is None or not _is_ours(name.rpartition(".")[0]) or not _can_be_imported(real):
            return None
        if name in EMPTY_PACKAGES:
            return _spec(name, EmptyPackage, package=True)
        return _spec(name, SameModule(real))


class BeneathAliases:
    """Finds what is beneath an alias: what is beneath the real module.

    It comes first of Python's finders once an alias is served: the path of an alias is the real
    module's, where Python would find the file and run it a second time. It answers only where
    the alias itself was served from here.
    """

    @staticmethod
    def find_spec(
        name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        for alias, real in ALIASES.items():
            if name.startswith(alias + "."):
                module = sys.modules.get(real)
                beneath = real + name.removeprefix(alias)
                if module is not None and sys.modules.get(alias) is module:
                    return _spec(name, SameModule(beneath)) if _can_be_imported(beneath) else None
        return None


def install() -> None:
    """Serve the names from now on; a second call does nothing."""
    if DocumentedNames not in sys.meta_path:
        sys.meta_path.append(DocumentedNames)
    after_import.install()
