"""The folder of `--workdir`: what a trace made on its way, under the published names."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hlo_frontend.graphdef.extract import SegmentCapture
from hlo_frontend.graphdef.partition import Segment
from hlo_frontend.hlo.proto import write_module
from neff.compile import Compiled
from neff.files import write_atomically
from tensorflow_neuron.snapshot import Example, snapshot


@dataclass(frozen=True, slots=True)
class Workdir:
    """Where to write; nothing is written where there is no folder."""

    folder: Path | None
    words: tuple[str, ...] = ()  # the compiler's options
    example: Example | None = None

    def make(self) -> None:
        """Make the folder. Raises OSError where that cannot be."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)

    def write_graph(self, name: str, graph_def: Any) -> None:
        """Write a GraphDef."""
        if self.folder is not None:
            write_atomically(self.folder / name, graph_def.SerializeToString(deterministic=True))

    def write_segment(
        self, name: str, segment: Segment, captured: SegmentCapture, compiled: Compiled
    ) -> None:
        """Write the module and the NEFF of a segment, and what the compiler said."""
        if self.folder is None:
            return
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "hlo_module.pb", write_module(captured.module))
        made = snapshot(captured, segment, self.example)
        write_atomically(folder / "hlo_snapshot_opt.pb", made)
        write_atomically(folder / "hlo_module.neff", compiled.neff.data)
        command = ["neuronx-cc", "compile", "--framework=XLA", "hlo_module.pb"]
        line = shlex.join([*command, "--output=hlo_module.neff", *self.words])
        log = [
            f"{s.name}: {s.seconds:.3f} s, {s.instructions} instructions" for s in compiled.stages
        ]
        write_atomically(folder / "neuron_cc_xla_command.log", f"{line}\n".encode())
        write_atomically(folder / "neuron_cc_xla.stderr.log", "\n".join([*log, ""]).encode())
