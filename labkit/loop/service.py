"""`labkit loop`: the workers of one process as a service, with its signals. Used by the extension and the commands.

SIGTERM and SIGINT end it in order, SIGHUP has it read the declarations of idle benches again. A loop with a thread
stuck in a driver replaces itself (exec) as soon as its benches are idle, see `replacement`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from types import FrameType

from labkit.errors import DeclarationError
from labkit.lab import Lab
from labkit.loop.reloading import keep_reloading, terminal_closed, watched_folders, worker_environment
from labkit.loop.replacement import REPLACED, Replacement
from labkit.loop.supervisor import Workers, say_warnings
from labkit.loop.words import Words

log = logging.getLogger("labkit.loop")


class Word(StrEnum):
    """What a loop may be told."""

    END = "end"
    READ_AGAIN = "read-again"
    REPLACE = "replace"


def run_loop(lab: Lab, *, threads: int | None = None, reload: bool = False) -> None:
    """Be `labkit loop`: own the hardware, run tasks, end what is overdue, until SIGTERM or SIGINT.

    threads: task runners, None: WEBLAB_TASK_THREADS_PROCESS. reload: do that in a child process, and begin anew
    whenever a file of the lab changes. Only in the main thread.
    Errors: `StoreUnavailableError` where there is no store at the start.
    """
    environment = worker_environment()
    if reload and not environment:
        keep_reloading(watched_folders(lab))
        return
    replacement = Replacement(lab.clock, os.environ.pop(REPLACED, ""))  # not for what this process starts
    with Words[Word]() as words, _told_by_signals(words.put):
        workers = Workers(
            lab,
            task_threads=lab.settings.task_threads if threads is None else threads,
            reaper=lab.settings.autoclean_thread,
        )
        workers.start()
        log.info("loop started process=%s benches=%s", lab.process.id, ",".join(lab.catalog.benches) or "-")
        try:
            word = _work(lab, workers, words, replacement)
        finally:  # whatever ends it, no device is left as it is
            log.info("loop stops process=%s", lab.process.id)
            workers.stop()
            lab.close()
        ended_meanwhile = Word.END in words.rest()
    if word is Word.REPLACE and not ended_meanwhile:
        log.warning("loop replaces itself: a thread is stuck in a driver")
        told = {REPLACED: replacement.told}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **environment, **told})


def _work(lab: Lab, workers: Workers, words: Words[Word], replacement: Replacement) -> Word:
    """Do what the loop is told until it is to end, or to replace itself."""

    def look(_news: object) -> None:
        if workers.host is not None and replacement.wanted(workers.host):
            words.put(Word.REPLACE)

    lab.process.on_news(look)
    while (word := words.get()) is Word.READ_AGAIN:
        _read_again(lab, workers)
    return word


@contextlib.contextmanager
def _told_by_signals(tell: Callable[[Word], None]) -> Iterator[None]:
    """Inside the block signals become words."""
    closed = terminal_closed()

    def end(_signal: int, _frame: FrameType | None) -> None:
        tell(Word.END)

    def hang_up(_signal: int, _frame: FrameType | None) -> None:
        # a terminal that was closed says the same, and nobody would see or stop the loop any more
        tell(Word.END if closed() else Word.READ_AGAIN)

    handlers = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: hang_up}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _read_again(lab: Lab, workers: Workers) -> None:
    try:
        catalog = lab.read_declarations_again()
    except DeclarationError as error:
        for problem in error.problems:
            log.error("declaration is wrong: %s", problem)
        log.error("declarations not taken mistakes=%d: the old ones stand", len(error.problems))
        return
    except Exception:  # what a plugin's author has written for its options raised it, and the devices are open
        log.exception("declarations not taken, for they could not be read: the old ones stand")
        return
    say_warnings(catalog)
    if workers.host is not None:
        workers.host.use(catalog)
    log.info("declarations read again benches=%s", ",".join(catalog.benches) or "-")
