"""The version of the runtime interface that is emulated (libnrt: major, minor, patch)."""

RUNTIME_VERSION = "2.0.0"
