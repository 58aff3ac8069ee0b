"""The `labkit` program: finds the lab, runs the commands, and has the processes of `labkit run` and `labkit demo`."""

from labkit.cli.program import main

__all__ = ["main"]
