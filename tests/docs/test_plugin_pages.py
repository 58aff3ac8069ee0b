"""The plugins that the how-to pages show are plugins that labkit takes."""

from __future__ import annotations

from pathlib import Path

from labkit.devices.plugins import load_plugins
from tests.docs.markdown import blocks_of, write_files
from tests.rules.conftest import ROOT

HOW_TO = ROOT / "docs" / "how-to"


def test_plugin_that_listens_to_events_is_loaded_with_its_hooks(tmp_path: Path) -> None:
    write_files(blocks_of(HOW_TO / "listen-to-events.md"), tmp_path)
    plugins = load_plugins(tmp_path / "drivers")
    (lamp,) = (plugin for plugin in plugins.loaded if plugin.name == "door_lamp")
    assert lamp.hooks == ["labkit_device_changed", "labkit_session_ended", "labkit_session_started"]


def test_pieces_of_a_driver_run_as_they_are_shown() -> None:
    pieces = [block.text for block in blocks_of(HOW_TO / "write-a-driver.md") if block.language == "python"]
    known: dict[str, object] = {}
    for piece in pieces[:2]:
        exec(compile(piece, "write-a-driver.md", "exec"), known)
    options = known["FanOptions"]
    assert [taken.what for taken in options(host="fan-1").takes()] == ["controller fan-1"]  # type: ignore[operator]
