"""Which lab a command works on, and what is said where there is none."""

from __future__ import annotations

import pytest

from tests.cli.program import BENCH, Place

APP = """
from flask import Flask
from labkit import WebLab

def create_app():
    app = Flask("found")
    app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="key")
    WebLab(app)
    return app
"""
NO_BENCH = "No bench is known yet."


@pytest.mark.parametrize(
    ("file", "text", "app"),
    [
        ("lab.py", APP + "app = create_app()", ""),
        ("lab.py", APP, ""),
        ("mine.py", APP, "mine"),
        ("mine.py", APP, "mine:create_app"),
        ("mine.py", APP, "mine:create_app()"),
        ("mine.py", APP + "other = create_app()", "mine:other"),
        ("package/mine.py", APP, "package.mine"),
    ],
)
def test_app_is_found(place: Place, file: str, text: str, app: str) -> None:
    place.write(file, text)
    done = place.labkit(*(["--app", app] if app else []), "devices")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(NO_BENCH)


def test_app_may_be_named_by_the_environment(place: Place) -> None:
    place.write("mine.py", APP)
    assert place.labkit("devices", LABKIT_APP="mine").stdout.startswith(NO_BENCH)


def test_folder_with_declarations_and_no_app_is_a_lab(place: Place) -> None:
    place.write("devices/bench-1.toml", BENCH)
    assert place.labkit("devices").stdout == f"{NO_BENCH} Start `labkit loop`.\n"


NO_NAME = "Missing WEBLAB_USERNAME. Set it in the app's config; the RLMS sends it with every call."
NO_APP = "The module 'lab' has no app: none of app, application, create_app, make_app. Say its name: --app lab:NAME"
NO_WEBLAB = "The app 'lab:app' is no lab: it has no WebLab. Add one: weblab = WebLab(app)"


@pytest.mark.parametrize(
    ("text", "app", "message"),
    [
        ("", "nowhere", "There is no module 'nowhere' in {folder}, nor among the installed packages."),
        ("", "lab.nowhere", "There is no module 'lab.nowhere' in {folder}, nor among the installed packages."),
        ("x = 1", "lab", NO_APP),
        ("appl = 1", "lab:app", "The module 'lab' has no 'app'. Did you mean appl?"),
        ("app = 3", "", "'lab:app' is of type int; it must be a Flask app."),
        ("from flask import Flask\napp = Flask('x')", "", NO_WEBLAB),
        (APP.replace("rlms", "") + "app = create_app()", "", NO_NAME),
        (APP.replace("rlms", ""), "", NO_NAME),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(place: Place, text: str, app: str, message: str) -> None:
    place.write("lab.py", text)
    done = place.labkit(*(["--app", app] if app else []), "devices")
    assert done.returncode == 2
    assert done.stderr == f"Error: {message.format(folder=place.folder)}\n"


def test_fault_in_the_authors_module_is_shown_from_their_first_line_on(place: Place) -> None:
    place.write("lab.py", "def make():\n    return 1 / 0\n\napp = make()\n")
    done = place.labkit("devices")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{place.folder}/lab.py", line 4, in <module>'
    assert lines[-1] == "Error: Importing 'lab' failed: ZeroDivisionError: division by zero"
    assert "importlib" not in done.stderr
    assert "labkit" not in done.stderr


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("import nowhere", "Error: Importing 'lab' failed: No module named 'nowhere'."),
        ("x = (", "Error: Importing 'lab' failed: SyntaxError: '(' was never closed (lab.py, line 1)"),
        ("def create_app():\n    return {}['x']", "Error: 'lab:create_app' failed to make the app: KeyError: 'x'"),
    ],
)
def test_other_faults_of_the_author_keep_their_traceback_too(place: Place, text: str, last: str) -> None:
    place.write("lab.py", text)
    done = place.labkit("devices")
    assert done.returncode == 2
    assert "lab.py" in done.stderr
    assert done.stderr.splitlines()[-1] == last
