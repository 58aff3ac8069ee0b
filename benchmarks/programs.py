"""Programs that a measure talks to: processes of their own, a JSON line for each question and each answer."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers"


class Program:
    """A running program of `benchmarks/peers` that answers what it is asked."""

    def __init__(self, process: subprocess.Popen[str]):
        self._process = process
        self.pid = process.pid

    def ask(self, do: str, **facts: Any) -> dict[str, Any]:
        """Ask one thing and wait for the answer. Errors: RuntimeError where the program has ended."""
        talk, answers = self._process.stdin, self._process.stdout
        if talk is None or answers is None:
            raise RuntimeError("The program has no pipes.")
        with contextlib.suppress(BrokenPipeError):
            talk.write(json.dumps({"do": do, **facts}) + "\n")
            talk.flush()
        line = answers.readline()
        if not line:
            raise RuntimeError(f"The program {self._process.args!r} ended with {self._process.wait()}.")
        return dict(json.loads(line))

    def seconds(self, do: str, times: int, **facts: Any) -> list[float]:
        """Ask for something to be done so many times: what each time took."""
        return [float(took) for took in self.ask(do, times=times, **facts)["seconds"]]


@contextlib.contextmanager
def program(python: str, file: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Program]:
    """Run a program of `benchmarks/peers` by an interpreter, until the block ends."""
    with subprocess.Popen(
        [python, str(PEERS / file), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=clean_environment(environment or {}),
    ) as process:  # fmt: skip
        try:
            yield Program(process)
        finally:
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def clean_environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what a lab would read from it, and with more."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WEBLAB_", "LABKIT_", "FLASK_"))}
    return {**kept, **more}


def in_turn(asked: Sequence[tuple[Program, str]], blocks: int, times: int) -> list[list[list[float]]]:
    """Ask programs in turn, a block of `times` each, so that the machine's drift hits all alike. Returns for each of
    them its blocks; the first one is only for warming up."""
    found: list[list[list[float]]] = [[] for _ in asked]
    for number in range(blocks + 1):
        for kept, (one, do) in zip(found, asked, strict=True):
            seconds = one.seconds(do, times)
            if number:
                kept.append(seconds)
    return found
