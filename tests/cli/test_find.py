"""Which lab a command works on, and what is said where there is none."""

from __future__ import annotations

import os

import pytest

from tests.cli.program import BENCH, Place
from tests.frozen import freeze, thaw
from tests.store.embedded_lab import processes_of

APP = """
from flask import Flask
from labkit import WebLab

def create_app():
    app = Flask("found")
    app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="key")
    WebLab(app)
    return app
"""
NOTHING = "Nothing runs here."


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
    assert done.stdout == f"{NOTHING} No device is declared in {place.folder}/devices. Start it: labkit run\n"


def test_app_may_be_named_by_the_environment(place: Place) -> None:
    place.write("mine.py", APP)
    assert place.labkit("devices", LABKIT_APP="mine").stdout.startswith(NOTHING)


def test_folder_with_declarations_and_no_app_is_a_lab(place: Place) -> None:
    place.write("devices/bench-1.toml", BENCH)
    assert place.labkit("devices").stdout == f"{NOTHING} Declared: bench-1/console. Start it: labkit run\n"


@pytest.mark.parametrize("app", ["", APP.replace('"found"', "__name__") + "app = create_app()"])
def test_looking_at_a_lab_that_does_not_run_leaves_nothing_behind(lab: Place, app: str) -> None:
    if app:
        lab.write("lab.py", app)
    before = {path for path in lab.folder.rglob("*") if "__pycache__" not in path.parts}
    sentence = "Nothing runs here. Declared: bench-1/console. Start it: labkit run\n"
    assert lab.labkit("devices").stdout == sentence
    assert lab.labkit("devices", "--json").stdout == "[]\n"
    released = lab.labkit("release", "bench-1")
    assert (released.returncode, released.stderr) == (1, f"Error: {sentence}")
    assert {path for path in lab.folder.rglob("*") if "__pycache__" not in path.parts} == before


def test_lab_whose_store_does_not_answer_is_not_taken_for_one_that_does_not_run(lab: Place) -> None:
    code = "import os; from labkit.cli.find import find_lab; from labkit.commands.running import is_running; "
    asked = ("-c", f"{code}print(is_running(find_lab(os.environ)))")
    with lab.running("loop") as loop:
        loop.says("condition=ok")
        (server,) = (one for one in processes_of(lab.folder / "instance") if is_server(one))
        freeze(server)
        try:
            assert lab.python(*asked).stdout == "True\n"
        finally:
            thaw(server)
    lab.wait_until_nothing_is_left()
    assert lab.python(*asked).stdout == "False\n"


def is_server(process: int) -> bool:
    return os.readlink(f"/proc/{process}/exe").endswith("-server")


@pytest.mark.parametrize(
    ("file", "name", "settings", "title"),
    [
        ("lab.py", "__name__", "", "mylab"),
        ("wsgi.py", "__name__", "", "mylab"),
        ("boards.py", "__name__", "", "boards"),
        ("lab.py", '"Boards of room 3"', "", "Boards of room 3"),
        ("lab.py", "__name__", "app.config['LABKIT_TITLE'] = 'Boards'", "Boards"),
    ],
)
def test_lab_is_called_like_its_folder_where_its_modules_name_says_nothing(
    place: Place, file: str, name: str, settings: str, title: str
) -> None:
    text = APP.replace('"found"', name).replace("    WebLab(app)", f"    {settings}\n    WebLab(app)")
    place.write(file, text)
    code = "import os; from labkit.cli.find import find_lab; print(find_lab(os.environ).title)"
    done = place.python("-c", code, LABKIT_APP=file.removesuffix(".py"))
    assert done.stdout == f"{title}\n", done.stderr


@pytest.mark.parametrize(
    ("find", "serves"), [("labkit.cli.find import find_lab", False), ("labkit.cli.find import find_app", True)]
)
def test_only_what_serves_pages_has_a_server_for_their_sockets(lab: Place, find: str, serves: bool) -> None:
    code = f"import os, sys; from {find} as find; found = find(os.environ); print('flask_socketio' in sys.modules)"
    done = lab.python("-c", code)
    assert done.stdout == f"{serves}\n", done.stderr


def test_broken_driver_is_said_once_and_in_a_sentence(lab: Place) -> None:
    lab.write("drivers/fan.py", "import nowhere\n")
    assert lab.labkit("devices").stderr == (
        "Note: drivers/fan.py is broken and was left out: "
        "ModuleNotFoundError: No module named 'nowhere' (fan.py, line 1).\n"
    )


def test_broken_driver_that_a_bench_needs_is_said_with_the_bench_only(place: Place) -> None:
    place.write("drivers/fan.py", "import nowhere\n")
    place.write("devices/bench-1.toml", '[fan]\ndriver = "fan"\n')
    done = place.labkit("devices")
    assert done.returncode == 2
    assert done.stderr == (
        "devices/bench-1.toml:2: [fan] driver: there is no driver 'fan'. Known drivers: camera, gpio, serial. "
        "Plugin 'fan' (drivers/fan.py) may bring it but is broken: "
        "ModuleNotFoundError: No module named 'nowhere' (fan.py, line 1).\n"
        "\n"
        "The lab was not started: 1 mistake in its configuration.\n"
    )


def test_collector_goes_on_when_a_lab_was_loaded(lab: Place) -> None:
    code = "import gc, os; from labkit.cli.loading import load_lab; load_lab(os.environ); print(gc.isenabled())"
    done = lab.python("-c", code + "; print(gc.get_freeze_count() > 10_000)")
    assert done.stdout == "True\nTrue\n", done.stderr


def test_collector_goes_on_where_no_lab_was_found(place: Place) -> None:
    code = "import gc, os; from labkit.cli.loading import load_lab\n"
    code += "try: load_lab(os.environ)\nexcept Exception as error: print(type(error).__name__, gc.isenabled())"
    assert place.python("-c", code).stdout == "NoLabFailure True\n"


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
