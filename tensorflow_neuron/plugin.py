"""Puts NeuronOp among TensorFlow's plugins, which `import tensorflow` loads by itself.

    python -m tensorflow_neuron.plugin install|remove|path

Python programs of this environment do not need it: a file beside the packages does the same. It is
for those that start without such files (`python -S`, embedded interpreters).
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

from runtime.library import TFNEURON, build


def plugin_path() -> Path:
    """Where the plugin is, or would be."""
    return Path(sysconfig.get_path("purelib")) / "tensorflow-plugins" / "libaws_neuron_plugin.so"


def install() -> Path:
    """Build the library and copy it to where TensorFlow looks for plugins."""
    path = plugin_path()
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    shutil.copyfile(build(TFNEURON), new)
    new.replace(path)
    return path


def remove() -> Path:
    """Take the plugin away, where it is there."""
    path = plugin_path()
    path.unlink(missing_ok=True)
    return path


ACTIONS: dict[str, Callable[[], Path]] = {
    "install": install,
    "path": plugin_path,
    "remove": remove,
}


def main(words: Sequence[str]) -> int:
    """Does what the one word says, and prints the plugin's path."""
    if len(words) != 1 or words[0] not in ACTIONS:
        print(f"usage: python -m tensorflow_neuron.plugin {{{','.join(ACTIONS)}}}", file=sys.stderr)
        return 2
    print(ACTIONS[words[0]]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
