"""Programs: what runs beside a measure and does what it is asked to, of labkit and of its peers. Used by the measures.

So blocks of labkit and of its peers can alternate, and what else happens on the machine hits all alike. Such a program
imports nothing of the benchmarks, for it runs in its peer's environment. It prints a JSON line when it is ready, then
answers each JSON line with another one, and ends with its input. An answer with `error` says what went wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers"


class ProgramError(RuntimeError):
    """The program ended, or answered with an error."""


class Program:
    """`with Program(python, "floor.py", url) as floor: floor.seconds(count=200)`: a program of `benchmarks/peers`.

    It is started at once, and the block begins when it is ready; so several can be started, then waited for.
    environment: what it is given beside this process's own, without what a lab would read from that.
    """

    def __init__(self, python: str, file: str, *arguments: str, environment: Mapping[str, str] | None = None):
        self.name = file
        command, pipe = [python, str(PEERS / file), *arguments], subprocess.PIPE
        environ = clean_environment(environment or {})
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=environ)

    def __enter__(self) -> Program:
        try:
            self._answer()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, do: str = "", **facts: Any) -> dict[str, Any]:
        """Ask for one thing, by its name where the program can do several, and wait for the answer.

        Errors: ProgramError.
        """
        question = {"do": do, **facts} if do else facts
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has ended; there will be no answer either
                self._process.stdin.write(json.dumps(question) + "\n")
                self._process.stdin.flush()
        return self._answer()

    def seconds(self, do: str = "", **facts: Any) -> list[float]:
        """Ask for something to be done several times, one after another. Returns what each time took."""
        return [float(took) for took in self.ask(do, **facts)["seconds"]]

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise ProgramError(f"{self.name} ended with status {self._process.wait(10)}.")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise ProgramError(f"{self.name}: {found['error']}")
        return found

    def close(self) -> None:
        """Close its input, on which it ends; after ten seconds it is killed."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


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
            seconds = one.seconds(do, times=times)
            if number:
                kept.append(seconds)
    return found
