"""The version of this package: TensorFlow's, then that of the emulated Neuron SDK."""

__version__ = "2.21.0.2.32.0+emulator"
