"""The generic lab: what is served where a folder has declarations and no app of its own.

Its users get labkit's ready page with their bench. Its settings are those of `labkit.toml` beside `devices/`, and the
environment's above them. Credentials that nobody set are random, and the same for all processes of the lab.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, url_for

from labkit.cli.credentials import EXTENSION, Credentials
from labkit.cli.home import home_blueprint
from labkit.cli.settings_file import EXTRA, read_settings_file
from labkit.extension import WebLab
from labkit.settings import SETTINGS

SETTINGS_FILE = "labkit.toml"


def is_lab(folder: Path, environment: Mapping[str, str]) -> bool:
    """Whether somebody meant this folder to be a lab. Nothing is written into any other."""
    return bool(environment.get("LABKIT_DEVICES")) or any(
        (folder / name).exists() for name in ("devices", SETTINGS_FILE)
    )


def generic_app(folder: Path, environment: Mapping[str, str]) -> Flask:
    """Make the generic lab of a folder. Errors: `InvalidConfigError`, `DeclarationError`."""
    given: dict[str, Any] = read_settings_file(folder / SETTINGS_FILE)
    names = [*(setting.name for setting in SETTINGS), *EXTRA]
    given.update({name: environment[name] for name in names if environment.get(name)})
    given.setdefault("LABKIT_TITLE", folder.name)
    # With a store of its own a lab may be renamed; on a shared one the folder's name tells it from others.
    app = make_app(folder.name if given.get("WEBLAB_REDIS_URL") else "labkit", folder, given)
    app.register_blueprint(home_blueprint(app.extensions["weblab"].lab))
    return app


def make_app(name: str, folder: Path, config: Mapping[str, Any]) -> Flask:
    """Make a lab without an author: the ready page is its users' first one."""
    instance = Path(folder, config.get("LABKIT_INSTANCE") or "instance").resolve()
    app = Flask(name, root_path=str(folder), instance_path=str(instance), static_folder=None)
    credentials = Credentials(instance, config)
    app.config.update({**config, **credentials.values, "LABKIT_INSTANCE": str(instance)})
    app.extensions[EXTENSION] = credentials
    weblab = WebLab(app)
    weblab.initial_url(lambda: url_for("labkit.page"))
    return app
