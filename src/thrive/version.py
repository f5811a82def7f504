"""The version, alone in a file so that `thrive --version` imports nothing else."""

__version__ = "0.1.0"
