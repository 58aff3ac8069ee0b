"""Where a command gets its lab from: found by the `labkit` program, or that of the app which `flask` has loaded.

A command is written once, takes its lab as first argument by `@pass_lab`, and does not know which of them runs it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

from labkit.errors import DeclarationError, WebLabNotInitializedError

if TYPE_CHECKING:
    from labkit.lab import Lab

P = ParamSpec("P")
R = TypeVar("R")


_unread: ContextVar[bool] = ContextVar("declarations_unread", default=False)
_unserved: ContextVar[bool] = ContextVar("pages_unserved", default=False)


@contextlib.contextmanager
def declarations_unread() -> Iterator[None]:
    """In this block a lab that is put together doesn't look at its declarations: whoever finds it does that."""
    token = _unread.set(True)
    try:
        yield
    finally:
        _unread.reset(token)


def declarations_are_read_later() -> bool:
    """Whether a command is about to run that says itself what is wrong with the declarations, or does without them.

    Flask loads an app before it looks at which command of `flask weblab` is meant: the command line says it by then.
    """
    if _unread.get():
        return True
    from labkit.commands.weblab import NEED_DECLARATIONS, SHARED  # not above: each of them imports this

    later = {command.name for command in SHARED if command not in NEED_DECLARATIONS}
    return any(word == "weblab" and name in later for word, name in itertools.pairwise(sys.argv))


@contextlib.contextmanager
def pages_unserved() -> Iterator[None]:
    """In this block a lab that is put together gets no server for sockets: this process serves none of its pages.

    What such a server imports takes as long as the rest of the lab.
    """
    token = _unserved.set(True)
    try:
        yield
    finally:
        _unserved.reset(token)


def pages_are_served() -> bool:
    """Whether this process may serve the pages of a lab that is put together here."""
    return not _unserved.get()


class LabSource:
    """Finds the lab when a command first asks for it, so that `--help` never loads an app."""

    def __init__(self, find: Callable[[], Lab]):
        self._find = find

    @cached_property
    def lab(self) -> Lab:
        with contextlib.redirect_stdout(sys.stderr):  # what apps and plugins print is no part of a command's output
            return self._find()


def pass_lab(function: Callable[Concatenate[Lab, P], R]) -> Callable[P, R]:
    """Give a command its lab as first argument; the lab is closed when the command is over."""
    return _passing(function, lambda source: source.lab)


def pass_running_lab(function: Callable[Concatenate[Lab, P], R]) -> Callable[P, R]:
    """As `pass_lab`, for commands that work on what runs: a mistake in a declaration is no reason to refuse them."""
    return _passing(function, _running_lab)


def _passing(function: Callable[Concatenate[Lab, P], R], find: Callable[[LabSource], Lab]) -> Callable[P, R]:
    @functools.wraps(function)
    def with_lab(*args: P.args, **kwargs: P.kwargs) -> R:
        context = click.get_current_context()
        source = context.find_object(LabSource)
        if source is None:
            raise WebLabNotInitializedError("This command has no lab: run it by `labkit` or by `flask weblab`.")
        lab = find(source)
        context.call_on_close(lab.close)
        return function(lab, *args, **kwargs)

    return with_lab


def _running_lab(source: LabSource) -> Lab:
    from labkit.commands.found_lab import said_by_others
    from labkit.commands.running import is_running

    with declarations_unread():
        lab = source.lab
    try:
        with said_by_others(), contextlib.redirect_stdout(sys.stderr):
            broken = [f"{one.origin} is broken and was left out: {one.error}" for one in lab.catalog.plugins.broken]
    except DeclarationError as error:
        if not is_running(lab):
            raise
        count = f"{len(error.problems)} mistake{'s' if len(error.problems) > 1 else ''}"
        folder = lab.devices_folder.name
        broken = [f"{folder}/ has {count} (labkit check); what runs goes on with what it has read before."]
    for sentence in broken:
        click.echo(f"{click.style('Note:', fg='yellow')} {sentence}", err=True)
    return lab
