"""A build step: puts beside the packages the file that has Python serve the documented names."""

from __future__ import annotations

from pathlib import Path

from setuptools.command.build_py import build_py

STARTUP_FILE = "neuron_emulator.pth"

# One line, run whenever Python starts. Every program of the environment runs it, so where an older
# checkout comes first on the path, or none can be imported, it does nothing rather than complain.
STARTUP_LINE = (
    "import sys; exec('try:\\n from hlo_frontend import aliases"
    "\\nexcept ImportError:\\n pass\\nelse:\\n aliases.install()')\n"
)


class BuildWithStartupFile(build_py):
    """Builds the packages, then the file; of an editable install the file is all that is built."""

    def run(self) -> None:
        super().run()
        Path(self._startup_file()).write_text(STARTUP_LINE)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), self._startup_file()]

    def _startup_file(self) -> str:
        """An editable wheel holds what is in `install_lib`, and points to the packages."""
        folder = self.get_finalized_command("install").install_lib
        return str(Path(folder if self.editable_mode else self.build_lib, STARTUP_FILE))
