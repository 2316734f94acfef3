"""The version of this package: that of the torch-neuronx release it emulates."""

__version__ = "2.9.0.2.32.0"
