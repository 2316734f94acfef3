"""What the compiler and the NEFF reader raise."""


class CompileError(RuntimeError):
    """The program cannot be compiled: the message quotes the instruction and its source line."""


class RefusedError(CompileError):
    """The documents say that this is not compiled. `code` is theirs: `NCC_EVRF001`."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class NeffError(ValueError):
    """The file is not a NEFF this version can read: the message says what is wrong with it."""


class OptionError(ValueError):
    """A compiler option is unknown, malformed or has a value outside its choices."""
