"""Asked: a program of the benchmarks that runs beside the measure and measures a block whenever it is asked to.

So blocks of labkit and of its peers can alternate, and what else happens on the machine hits all alike. Such a program
imports nothing of the benchmarks, for it runs in its peer's environment. It prints a JSON line when it is ready, then
answers each JSON line with another one, and ends with its input. An answer with `error` says what went wrong.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

PEERS = Path(__file__).parent / "peers"


class AskedError(RuntimeError):
    """The program ended, or answered with an error."""


class Asked:
    """`with Asked(python, PEERS / "floor.py", url) as floor: floor.block(200)`. ready: what it said first."""

    def __init__(self, python: str, program: Path, *arguments: str, environ: dict[str, str] | None = None):
        self.name = program.stem
        pipe = subprocess.PIPE
        command = [python, str(program), *arguments]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environ)
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> Asked:
        try:
            self.ready = self._answer()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def block(self, count: int, **more: Any) -> list[float]:
        """Have it do the thing so many times, one after another. Returns what each took, in seconds."""
        return [float(seconds) for seconds in self.ask(count=count, **more)["seconds"]]

    def ask(self, **question: Any) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        self.send(**question)
        return self._answer()

    def send(self, **question: Any) -> None:
        """Ask without waiting; `answer()` waits."""
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the answer to what was sent."""
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise AskedError(f"{self.name} ended with status {self._process.wait(10)}.")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise AskedError(f"{self.name}: {found['error']}")
        return found

    def close(self) -> None:
        """Close its input, on which it ends; after five seconds it is killed."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
