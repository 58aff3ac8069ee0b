"""The lab of `labkit demo`: the demo benches, simulated, and a page that lets anybody be a student.

Every process of a demo makes it anew from two variables of its environment; nothing else there has a say.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import InvalidConfigError

if TYPE_CHECKING:
    from flask import Flask

    from labkit.devices.proxy import Devices

FOLDER = "LABKIT_DEMO"
"""Environment variable: the demo's instance folder. Set in another terminal, all commands there work on the demo."""
SECONDS = "LABKIT_DEMO_TIME"
"""Environment variable: the length of a session in seconds."""

DEFAULT_SECONDS = 300.0
BOARD = "console"
"""The demo bench's device that has something to boot."""


def demo_app(environment: Mapping[str, str]) -> Flask:
    """Make the demo's app. Errors: `InvalidConfigError` where its folder has gone."""
    from flask import redirect, url_for

    from labkit.cli.generic import make_app
    from labkit.web.demo import demo_blueprint

    folder = Path(environment[FOLDER]).absolute()
    if not folder.is_dir():
        raise InvalidConfigError(f"There is no demo at {folder}: it has ended. Take {FOLDER} out of the environment.")
    config = {
        "LABKIT_INSTANCE": str(folder),
        "LABKIT_DEVICES": str(benches_folder()),
        "LABKIT_SIMULATE": True,
        "LABKIT_TITLE": "labkit demo",
    }
    app = make_app("labkit-demo", folder, config)
    seconds = float(environment.get(SECONDS) or DEFAULT_SECONDS)
    weblab = app.extensions["weblab"]
    weblab.on_start(lambda _client_data, _server_data: boot_board(weblab.devices))
    app.register_blueprint(demo_blueprint(weblab.lab, seconds))
    app.add_url_rule("/", "demo_home", lambda: redirect(url_for("labkit_demo.welcome")))
    return app


def boot_board(devices: Devices) -> None:
    """Reset the board as a session begins, so that its banner greets the student."""
    devices[BOARD].reset()


def benches_folder() -> Path:
    """The folder of the demo benches: in the installed package, else beside the checkout."""
    packaged = Path(__file__).parent / "benches"
    beside = Path(__file__).parents[2] / "devices"
    for folder in (packaged, beside):
        if folder.is_dir():
            return folder
    raise InvalidConfigError(
        f"The demo benches are missing: neither {packaged} nor {beside} exists. Install labkit again."
    )
