"""`labkit loop --reload`: runs this program again in a child process, anew whenever a file of the lab changes.

A child ends in order before the next begins, so devices are made safe between two; it ends with this process, too.
What is broken and can't start is left alone until the next change.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType

from labkit.lab import Lab
from labkit.loop.lifeline import PARENT, hold_lifeline, lifeline
from labkit.loop.words import Words
from labkit.threads import LabThread, stop_all

log = logging.getLogger("labkit.loop")

RELOADED = "LABKIT_RELOADED"
"""Environment variable of the child that does the work."""

END_SECONDS = 30.0
"""Seconds that a child has to end in order, before it is killed."""
WATCH_END_SECONDS = 10.0
"""Seconds that the look-out for changes has to end; it looks whether it is to end at least every 5 s."""


def worker_environment() -> dict[str, str]:
    """In the child that does the work: what its environment needs where it replaces itself. Elsewhere: nothing.

    From then on the child ends with its parent.
    """
    if os.environ.pop(RELOADED, "") == "":
        return {}
    hold_lifeline()
    return {RELOADED: "1", PARENT: str(os.getppid())}


def terminal_closed() -> Callable[[], bool]:
    """Remember whether there is a terminal; returns what says whether it was closed since."""
    at_a_terminal = os.isatty(0)
    return lambda: at_a_terminal and not os.isatty(0)


def watched_folders(lab: Lab) -> list[Path]:
    """Where the lab's own code and declarations lie; none inside another."""
    folders = {Path(lab.app.root_path), lab.devices_folder, lab.drivers_folder}
    found = [folder.resolve() for folder in folders if folder.is_dir()]
    return sorted(one for one in found if not any(one != other and one.is_relative_to(other) for other in found))


def keep_reloading(folders: Sequence[Path]) -> None:
    """Run this program in a child until SIGTERM or SIGINT; start it anew when a .py or .toml file changes."""
    with Words[str]() as words:
        child = Child(lambda: words.put("ended"))
        watching = LabThread("reload", lambda stopping: _watch(folders, stopping, lambda: words.put("changed")))
        handlers = _handlers(child, words)
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        watching.start()
        log.info("loop reloads when files change folders=%s", ",".join(map(str, folders)))
        try:
            child.start()
            while (word := words.get()) != "end":
                if word == "ended" and not child.running:
                    log.error("loop ended by itself status=%s: it begins anew when a file changes", child.status)
                elif word == "changed":
                    child.end()
                    if "end" in words.rest():  # more changes meanwhile are in what is loaded now
                        break
                    child.start()
        finally:
            watching.stop()
            child.end()
            stop_all([watching], WATCH_END_SECONDS)  # Python must not end while it is in watchfiles: that aborts
            for number, handler in before.items():
                signal.signal(number, handler)


def _handlers(child: Child, words: Words[str]) -> dict[signal.Signals, Callable[[int, FrameType | None], None]]:
    """What this process does at a signal: it ends with its child, or passes a hangup on."""
    closed = terminal_closed()

    def end(_signal: int, _frame: FrameType | None) -> None:
        words.put("end")

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if closed():
            words.put("end")
        else:
            child.signal(signal.Signals(number))

    return {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: pass_on}


class Child:
    """This program once more, as the loop that works. Started in the main thread, which its life is tied to."""

    def __init__(self, ended: Callable[[], None]):
        """ended: called, on a thread of its own, when the process has ended."""
        self._ended = ended
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Child {f'pid={self._process.pid}' if self._process else 'not started'}>"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        return self._process.returncode if self._process is not None else None

    def start(self) -> None:
        # until it has a handler of its own, SIGHUP must not end it
        handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            process = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]], env={**os.environ, **lifeline(), RELOADED: "1"}, process_group=0
            )
        finally:
            signal.signal(signal.SIGHUP, handler)
        self._process = process

        def wait(_: threading.Event) -> None:
            process.wait()
            self._ended()

        LabThread("reload-child", wait).start()

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)

    def end(self) -> None:
        """End it in order; blocks for that, at most END_SECONDS."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("loop did not end and was killed pid=%d", self._process.pid)
            self._process.kill()
            self._process.wait()


def _watch(folders: Sequence[Path], stopping: threading.Event, changed: Callable[[], None]) -> None:
    import watchfiles  # only a loop that reloads needs it

    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # what changed is logged here
    wanted = watchfiles.PythonFilter(extra_extensions=(".toml",))
    try:
        for changes in watchfiles.watch(*folders, watch_filter=wanted, stop_event=stopping, raise_interrupt=False):
            files = sorted({path for _, path in changes})
            wrong = list(_not_python(files))
            if wrong:
                log.error("loop goes on as it was: %s", "; ".join(wrong))
            else:
                log.info("loop begins anew changed=%s", ",".join(files))
                changed()
    except Exception:
        log.exception("changes are not seen any more folders=%s", ",".join(map(str, folders)))


def _not_python(files: Iterable[str]) -> Iterable[str]:
    """Where these files are no Python yet: somebody is in the middle of a change."""
    for file in files:
        if file.endswith(".py") and os.path.isfile(file):
            try:
                compile(Path(file).read_bytes(), file, "exec")
            except (SyntaxError, ValueError, OSError) as error:
                yield f"{file}: {error}"
