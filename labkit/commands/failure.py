"""How a command fails: one clear sentence on stderr and an exit code, never a traceback of labkit's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, Any

import click

from labkit.errors import DeclarationError, InvalidConfigError, WebLabError

FAILED = 1
MISCONFIGURED = 2
"""Exit codes: something went wrong on the way; nothing was started because the configuration is wrong."""


class Failure(click.ClickException):
    """A command can't do what was asked. `message` is the sentence; label: what stands before it, '' for nothing."""

    def __init__(self, message: str, *, code: int = FAILED, label: str = "Error"):
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc] # click declares it for the class, and reads it of the instance
        self._label = label

    def show(self, file: IO[Any] | None = None) -> None:
        label = click.style(f"{self._label}:", fg="red", bold=True) + " " if self._label else ""
        click.echo(label + self.message, file=file, err=file is None)


class NoLabFailure(Failure):
    """There is no lab where one is looked for; some commands need none."""


class LabCommand(click.Command):
    """A command whose errors of labkit become a `Failure`."""

    def invoke(self, ctx: click.Context) -> Any:
        with failures():
            return super().invoke(ctx)


class LabGroup(click.Group):
    """A group whose own errors of labkit, where it is run without a command, become a `Failure`."""

    def invoke(self, ctx: click.Context) -> Any:
        with failures():
            return super().invoke(ctx)


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Turn what labkit raises into a `Failure`: code 2 where the configuration is wrong, else 1."""
    try:
        yield
    except DeclarationError as error:
        count = len(error.problems)
        mistakes = "1 mistake" if count == 1 else f"{count} mistakes"
        text = "\n".join([*error.problems, "", f"The lab was not started: {mistakes} in its configuration."])
        raise Failure(text, code=MISCONFIGURED, label="") from error
    except InvalidConfigError as error:
        raise Failure(str(error), code=MISCONFIGURED) from error
    except WebLabError as error:
        raise Failure(str(error)) from error
