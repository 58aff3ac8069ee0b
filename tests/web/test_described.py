"""docs/reference/openapi.json has every route of labkit and every answer of each, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from flask import Flask

from labkit import WebLab
from labkit.cli.demo_lab import FOLDER, demo_app
from labkit.cli.generic import generic_app
from tests.web.described import all_answers, described, description, paths, resolved, served

CONFIG = {"WEBLAB_USERNAME": "rlms", "WEBLAB_PASSWORD": "secret", "WEBLAB_REDIS_URL": "redis://127.0.0.1:1"}
OF_A_FOLDER = "labkit demo, and labkit run in a lab without an app"


def an_app(folder: Path, **config: Any) -> Flask:
    app = Flask("lab", root_path=str(folder), instance_path=str(folder / "instance"))
    app.config.update({**CONFIG, "SECRET_KEY": "x", **config})
    WebLab(app)
    return app


def a_demo(folder: Path) -> Flask:
    return demo_app({FOLDER: str(folder)})


def a_lab_without_an_app(folder: Path, **config: Any) -> Flask:
    (folder / "devices").mkdir()
    return generic_app(folder, {**CONFIG, **config})


LABS: dict[str, tuple[Callable[[Path], Flask], str, str, set[str]]] = {
    "an app": (an_app, "", "/callback", set()),
    "an app elsewhere": (
        lambda folder: an_app(folder, WEBLAB_BASE_URL="/labs/1/", WEBLAB_CALLBACK_URL="in/here/"),
        "/labs/1", "/in/here", set(),
    ),
    "an app that polls by itself": (lambda folder: an_app(folder, WEBLAB_AUTOPOLL=False), "", "/callback", set()),
    "no app": (a_lab_without_an_app, "", "/callback", {OF_A_FOLDER}),
    "the demo": (a_demo, "", "/callback", {OF_A_FOLDER, "labkit demo"}),
}  # fmt: skip


@pytest.mark.parametrize("name", LABS)
def test_every_route_and_method_is_described_and_nothing_else(tmp_path: Path, name: str) -> None:
    make, base, callback, by = LABS[name]
    whole = description()["paths"]
    wanted = {
        (verb, path)
        for path, written in paths(base, callback).items()
        for verb, _ in described(written)
        if whole[written].get("x-served-by") in {None, *by} and not whole[written].get("x-outside-of-flask")
    }
    assert served(make(tmp_path)) == wanted


def test_only_the_socket_is_outside_of_flask(tmp_path: Path) -> None:
    outside = [path for path, what in description()["paths"].items() if what.get("x-outside-of-flask")]
    assert outside == ["/labkit/socket.io/"]
    assert an_app(tmp_path).test_client().get("/labkit/socket.io/?EIO=4&transport=polling").status_code == 400


def test_every_schema_is_one_and_is_used() -> None:
    text = str(description())
    for kind, parts in description()["components"].items():
        for name, part in parts.items():
            assert kind == "securitySchemes" or f"'#/components/{kind}/{name}'" in text, name
            if kind == "schemas":
                jsonschema.Draft202012Validator.check_schema(part)


def test_every_operation_says_what_it_does_under_a_name_of_its_own() -> None:
    names = []
    for path in description()["paths"]:
        for verb, what in described(path):
            names.append(what["operationId"])
            assert what["summary"].endswith("."), (verb, path)
            assert all(resolved(answer)["description"] for answer in what["responses"].values())
    assert len(names) == len(set(names))
    assert len(all_answers()) > 100
