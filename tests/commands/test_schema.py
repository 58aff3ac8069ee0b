"""`labkit schema`: prints or writes a schema, in a lab and outside of one, also where declarations are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from labkit.cli import main
from tests.cli.conftest import place as place
from tests.cli.program import Place
from tests.devices.fan import FAN, HOOK


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lab(folder: Path) -> None:
    """A lab with a driver of its own, a broken one, and a mistake in its declarations."""
    for name in ("devices", "drivers"):
        (folder / name).mkdir()
    (folder / "drivers" / "fan.py").write_text(FAN + HOOK)
    (folder / "drivers" / "bad.py").write_text("import nothing_like_it\n")
    (folder / "devices" / "bench-1.toml").write_text('[fan]\ndriver = "fna"\n')


def schema(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["schema", *arguments])


def written(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def test_it_is_printed_anywhere_with_the_installed_drivers(folder: Path) -> None:
    done = schema()
    assert done.exit_code == 0
    assert {"serial", "gpio"} <= set(json.loads(done.stdout)["$defs"])


def test_it_is_written_with_the_labs_own_drivers_and_says_how_an_editor_finds_it(folder: Path) -> None:
    lab(folder)
    done = schema("--output", "bench.schema.json")
    assert done.exit_code == 0
    assert "Wrote bench.schema.json, with the drivers " in done.output
    assert done.output.endswith("Write this in the first line of each bench's file: #:schema ../bench.schema.json\n")
    assert written(folder / "bench.schema.json")["$defs"]["fan"]["properties"]["pin"]["type"] == "integer"


def test_way_to_a_schema_beside_the_benches_begins_with_a_dot(folder: Path) -> None:
    lab(folder)
    assert schema("-o", "devices/bench.schema.json").output.endswith("#:schema ./bench.schema.json\n")


def test_broken_plugins_are_named_and_left_out(folder: Path) -> None:
    lab(folder)
    done = schema("--output", "bench.schema.json")
    assert "Note: plugin 'bad' (drivers/bad.py) is broken, and its drivers are left out: ModuleNotFound" in done.output
    assert "bad" not in written(folder / "bench.schema.json")["$defs"]


def test_file_that_cannot_be_written_is_a_failure(folder: Path) -> None:
    done = schema("--output", "nowhere/bench.schema.json")
    assert done.exit_code == 1
    assert "Error: nowhere/bench.schema.json can't be written: No such file or directory." in done.output


def test_flask_weblab_schema_does_the_same_where_declarations_are_wrong(place: Place) -> None:
    place.write("devices/bench-1.toml", "[a]\n")
    place.write(
        "lab.py",
        "from flask import Flask\nfrom labkit import WebLab\napp = Flask(__name__)\n"
        'app.config.update(WEBLAB_USERNAME="a", WEBLAB_PASSWORD="b", SECRET_KEY="c")\nweblab = WebLab(app)\n',
    )
    done = place.module("flask", "--app", "lab", "weblab", "schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert "serial" in json.loads(done.stdout)["$defs"]
