"""The version of this package."""

# PyTorch's version, then that of the emulated Neuron SDK; the local part says that this is the
# emulator.
__version__ = "2.9.0.2.32.0+emulator"
