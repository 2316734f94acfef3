"""The front end: programs captured from PyTorch, or read from HLO files, as HLO data."""
