"""The lab of the tests on real devices: an ordinary Flask app. What its own code hears of a device, a test asks for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from flask import Flask, jsonify, request, url_for

from labkit import WebLab, requires_active
from labkit.commands.devices import facts, pairs
from labkit.errors import WebLabError

FOLDER = Path(os.environ["HARDWARE_LAB"])

app = Flask("hardwarelab", root_path=str(FOLDER), instance_path=str(FOLDER / "instance"))
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="for tests only")
app.config.update(json.loads(os.environ["HARDWARE_SETTINGS"]))
weblab = WebLab(app)


@weblab.initial_url
def initial_url() -> str:
    return url_for("labkit.page")


@app.route("/call/<device>/<command>", methods=["POST"])
@requires_active
def call(device: str, command: str) -> Any:
    """Use a command, as lab code does; the answer has its value, or its error's name and text."""
    args = [one["bytes"].encode("latin-1") if isinstance(one, dict) else one for one in request.get_json(force=True)]
    try:
        value = getattr(weblab.devices[device], command)(*args)
    except WebLabError as error:
        return jsonify(error=type(error).__name__, message=str(error))
    return jsonify(value=len(value) if isinstance(value, bytes) else value)


@app.route("/devices")
def devices() -> Any:
    """What everybody may know of every device, by its name."""
    return jsonify({device.name: facts(bench, device) for bench, device in pairs(weblab.lab.reservations.benches())})
