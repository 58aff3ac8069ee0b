"""The lock that lets one `labkit run` at a time have a lab. It says in the same file who that is, and where it serves.

The kernel gives the lock back however the process ends, so a record that is left in an unlocked file is nobody's.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from pathlib import Path
from types import TracebackType

from labkit.cli.credentials import not_writable
from labkit.commands.address import FILE, RunRecord, read_record
from labkit.commands.failure import Failure


class OnlyRun:
    """This process's `labkit run` of one lab, as long as the block lasts. Children do not inherit the lock."""

    def __init__(self, instance: Path):
        """instance: the lab's instance folder; made when the lock is taken."""
        self._path = instance / FILE
        self._file: int | None = None

    def __repr__(self) -> str:
        return f"<OnlyRun {self._path} {'free' if self._file is None else 'locked'}>"

    def __enter__(self) -> OnlyRun:
        """Take the lock. Errors: `Failure` naming the process that has it; `InvalidConfigError` for the folder."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise not_writable(self._path.parent, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            raise Failure(already_runs(read_record(self._path.parent))) from None
        self.withdraw()  # what one that was killed has left
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.withdraw()
        self._close()

    def tell(self, *, url: str, shown: str) -> None:
        """Write down where this run serves, for `labkit fake` and for who tries to run the lab once more."""
        if self._file is not None:
            self.withdraw()
            record = RunRecord(pid=os.getpid(), url=url, shown=shown)
            os.pwrite(self._file, json.dumps(dataclasses.asdict(record)).encode(), 0)

    def withdraw(self) -> None:
        """The web part is not there any more; the lab is this process's still. Twice is fine."""
        if self._file is not None:
            os.ftruncate(self._file, 0)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def already_runs(record: RunRecord | None) -> str:
    """What to say to a second one. None: the first one is just starting, or ending."""
    if record is None:
        return "This lab already runs here: another `labkit run` is starting or ending. Try again in a moment."
    return (
        f"This lab already runs here (pid {record.pid}, {record.shown}). "
        "Use that one (labkit fake new), or stop it first: Ctrl-C where it runs."
    )
