"""The page about declaring a bench: what it declares is right, and what it shows is what `labkit check` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.commands.check import looked_at, summary
from labkit.commands.drawing import drawn
from labkit.commands.found_lab import FoundLab
from labkit.devices.plugins import load_plugins
from tests.docs.markdown import blocks_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "declare-a-bench.md"
BLOCKS = [block.text for block in blocks_of(PAGE) if block.language == "toml"]
CONSOLE = '[console]\ndriver = "serial"\nmatch = { usb_serial = "7543" }\n'
LEDS = '[leds]\ndriver = "gpio"\nchip = "pinctrl-rp1"\n'


def said(folder: Path, monkeypatch: pytest.MonkeyPatch, *benches: str) -> str:
    """All that `labkit check` prints of these benches."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("CAMERA_URL", "http://camera.example/stream")
    monkeypatch.chdir(folder)
    Path("devices").mkdir()
    for number, text in enumerate(benches, 1):
        Path(f"devices/bench-{number}.toml").write_text(text, "utf-8")
    lab = FoundLab(
        devices=Path("devices"),
        drivers=Path("drivers"),
        simulate=False,
        machine="pi-3",
        read_plugins=lambda: load_plugins(None),
    )
    result = looked_at(lab, [])
    findings = [finding for finding in result.findings if finding.line]
    return "\n\n".join([*map(drawn, findings), summary(result, lab)]) + "\n"


@pytest.mark.parametrize("text", BLOCKS)
def test_declaration_is_right(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = said(tmp_path, monkeypatch, text)
    assert "problem" not in found, found
    assert "[" not in found, found  # nor a warning that is about a device


def test_what_check_says_is_shown_as_it_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = [block.text for block in blocks_of(PAGE) if block.language == "text"]
    found = said(
        tmp_path,
        monkeypatch,
        f"{CONSOLE}boudrate = 9600\n\n{LEDS}lines = {{ red = 17 }}\n",
        f"{LEDS}lines = {{ blue = 4, relay = 17 }}\n",
    )
    assert found == shown
