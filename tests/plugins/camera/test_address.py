"""What of an address may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from labkit.cli import main
from labkit_plugins.camera.address import Address


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://10.0.0.7:554/live", "rtsp://10.0.0.7:554/live"),
        ("rtsp://lab@10.0.0.7/live", "rtsp://lab@10.0.0.7/live"),
        ("rtsp://lab:hunter22@10.0.0.7/live", "rtsp://lab:***@10.0.0.7/live"),
        ("http://lab:p@ss@10.0.0.7/", "http://lab:***@10.0.0.7/"),
        ("http://10.0.0.7/video?key=hunter22&fps=5", "http://10.0.0.7/video?key=***&fps=***"),
        ("http://10.0.0.7?key=hunter22", "http://10.0.0.7?key=***"),
        ("http://lab:hunter22@10.0.0.7?key=hunter33#hunter", "http://lab:***@10.0.0.7?key=***#hunter"),
        ("http:/lab:hunter22@10.0.0.7/video", "http:/lab:***@10.0.0.7/video"),
        ("http://[::1]:8080/a@b", "http://[::1]:8080/a@b"),
        ("http://10.0.0.7:8080/a@b", "http://10.0.0.7:8080/a@b"),
        ("/srv/lab:hunter22@film.mp4", "/srv/lab:hunter22@film.mp4"),
    ],
)
def test_password_and_query_are_hidden(text: str, shown: str) -> None:
    assert str(Address(text)) == shown
    assert repr(Address(text)) == f"Address({shown!r})"
    assert Address(text).reveal() == text
    assert Address(text).secret is (text != shown)


@pytest.mark.parametrize(
    "said",
    [
        "connecting to rtsp://lab:hunter%3222@10.0.0.7/live failed",
        "user lab:hunter%3222@10.0.0.7 is unknown",
        "the password hunter%3222 is wrong",
        "the password hunter222 is wrong",
    ],
)
def test_errors_of_others_are_cleaned(said: str) -> None:
    cleaned = Address("rtsp://lab:hunter%3222@10.0.0.7/live").hide(said)
    assert "hunter" not in cleaned
    assert "***" in cleaned


PECULIAR = [
    "http://lab:hunter22@ca\u2100m/",
    "http://lab:hun[ter22@10.0.0.7/",
    "rtsp://lab:hunter22@[::1/stream",
    "rtsp://lab:hunter22@10.0.0.7]/stream",
    "rtsp://lab:hunter22@10.0.0.7:port/stream",
    "rtsp://lab:hun/ter22@10.0.0.7/stream",
    "rtsp://lab:hun?ter22@10.0.0.7/stream",
    "rtsp://lab:hun#ter22@10.0.0.7/stream",
]
"""What `urllib.parse` refuses, or takes for something else, and FFmpeg may open."""


@pytest.mark.parametrize("text", PECULIAR)
def test_password_in_a_peculiar_address_is_hidden(text: str) -> None:
    address = Address(text)
    assert "ter22" not in f"{address} {address!r} {address.hide(f'can not open {text}')}"
    assert address.secret


def test_values_of_a_query_are_hidden_in_errors_of_others() -> None:
    address = Address("http://10.0.0.7?key=hunter%3222")
    assert address.hide("keys hunter%3222 and hunter222 are wrong") == "keys *** and *** are wrong"


@pytest.mark.parametrize("text", PECULIAR)
def test_check_shows_no_password(text: str, tmp_path: Path) -> None:
    declaration = tmp_path / "bench-1.toml"
    declaration.write_text(f'[camera]\ndriver = "camera"\nurl = "{text}"\n', "utf-8")
    done = CliRunner().invoke(main, ["check", str(declaration)])
    assert done.exit_code == 0, done.output
    assert "The address holds a password" in done.output
    assert "ter22" not in done.output
