"""Finds the lab that a command works on. What is wrong with it becomes a `Failure` that says what to do.

In this order: the demo that LABKIT_DEMO names; the app of `--app` or LABKIT_APP; `lab.py` of the current folder with
its `app` or `create_app`; the generic lab of the current folder.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from labkit.commands.failure import MISCONFIGURED, Failure, NoLabFailure, failures
from labkit.commands.logs import PART
from labkit.commands.simulation import simulate_where_asked
from labkit.commands.source import declarations_are_read_later, pages_unserved
from labkit.devices.problems import nearest
from labkit.errors import WebLabError

if TYPE_CHECKING:
    from flask import Flask

    from labkit.lab import Lab

ATTRIBUTES = ("app", "application", "create_app", "make_app")
"""What an app, or a function that makes it, is called where nobody says it."""

SAYS_NOTHING = ("lab", "app", "application", "wsgi", "main")
"""Names of modules that many labs have."""


def find_lab(environment: Mapping[str, str]) -> Lab:
    """Find the lab for a command, which serves no page of it. Errors: `Failure`.

    Where a plugin of it is broken, say so once for all of its processes.
    """
    from labkit.cli.notices import broken_plugins, plugins_unsaid

    with pages_unserved():
        lab: Lab = find_app(environment).extensions["weblab"].lab
    if not (environment.get(PART) or declarations_are_read_later()):
        with failures(), plugins_unsaid():
            for sentence in broken_plugins(lab):
                click.echo(f"{click.style('Note:', fg='yellow')} {sentence}", err=True)
    return lab


def find_app(environment: Mapping[str, str]) -> Flask:
    """Find the lab's Flask app, which has a WebLab. Errors: `Failure`, also for every wrong declaration."""
    from labkit.cli.notices import plugins_unsaid

    with failures(), plugins_unsaid():
        if environment.get("LABKIT_DEMO"):
            from labkit.cli.demo_lab import demo_app

            return demo_app(environment)
        name = environment.get("LABKIT_APP") or ("lab" if Path("lab.py").is_file() else "")
        if name:
            app = load_app(name)
            simulate_where_asked(app.extensions["weblab"].lab, environment)
            call_after_folder(app)
            return app
        from labkit.cli.generic import generic_app, is_lab

        if not is_lab(Path.cwd(), environment):
            here = f"There is no lab in {Path.cwd()}: neither lab.py nor devices/ nor labkit.toml"
            raise NoLabFailure(f"{here}. Go to one, name an app by --app, or try: labkit demo", code=MISCONFIGURED)
        return generic_app(Path.cwd(), environment)


def call_after_folder(app: Flask) -> None:
    """Where neither the settings nor the module's name say how the lab is called, its folder does, on its pages too."""
    lab: Lab = app.extensions["weblab"].lab
    if not lab.settings.title and lab.name.rpartition(".")[2] in SAYS_NOTHING:
        lab.settings = dataclasses.replace(lab.settings, title=Path(app.root_path).name)


def load_app(name: str) -> Flask:
    """Import `module:app`, `module:create_app` or `module`. Errors: `Failure`."""
    module_name, _, attribute = name.partition(":")
    module = load_module(module_name)
    found = name_in(module, attribute.removesuffix("()"))
    return checked(getattr(module, found), f"{module_name}:{found}")


def load_module(name: str) -> ModuleType:
    """Import the author's module from the current folder. Its own errors are shown with their traceback."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            where = f"{here}, nor among the installed packages"
            raise Failure(f"There is no module '{error.name}' in {where}.", code=MISCONFIGURED) from None
        raise fault(f"Importing '{name}' failed: {error}.", error) from error
    except WebLabError:
        raise
    except Exception as error:
        raise fault(f"Importing '{name}' failed: {type(error).__name__}: {error}", error) from error


def name_in(module: ModuleType, name: str) -> str:
    """The app's name in its module. Errors: `Failure` with the nearest known name."""
    if name:
        if hasattr(module, name):
            return name
        meant = nearest(name, vars(module))
        hint = f" Did you mean {meant}?" if meant else ""
        raise Failure(f"The module '{module.__name__}' has no '{name}'.{hint}", code=MISCONFIGURED)
    for known in ATTRIBUTES:
        if hasattr(module, known):
            return known
    names = ", ".join(ATTRIBUTES)
    raise Failure(
        f"The module '{module.__name__}' has no app: none of {names}. Say its name: --app {module.__name__}:NAME",
        code=MISCONFIGURED,
    )


def checked(found: Any, name: str) -> Flask:
    """The app itself, made where it is a factory. Errors: `Failure` where it is no Flask app with a WebLab."""
    from flask import Flask

    if callable(found) and not isinstance(found, Flask):
        try:
            found = found()
        except WebLabError:
            raise
        except Exception as error:
            raise fault(f"'{name}' failed to make the app: {type(error).__name__}: {error}", error) from error
    if not isinstance(found, Flask):
        raise Failure(f"'{name}' is of type {type(found).__name__}; it must be a Flask app.", code=MISCONFIGURED)
    if "weblab" not in found.extensions:
        raise Failure(
            f"The app '{name}' is no lab: it has no WebLab. Add one: weblab = WebLab(app)", code=MISCONFIGURED
        )
    return found


def fault(message: str, error: Exception) -> Failure:
    """A failure of the author's own code: its traceback is printed, from their first line on."""
    click.echo("".join(traceback.format_exception(type(error), error, own_part(error))), err=True)
    return Failure(message, code=MISCONFIGURED)


def own_part(error: Exception) -> Any:
    """The traceback without labkit's and importlib's frames at its beginning."""
    part = error.__traceback__
    while part is not None:
        file = part.tb_frame.f_code.co_filename
        if file != __file__ and "importlib" not in file:
            return part
        part = part.tb_next
    return None
