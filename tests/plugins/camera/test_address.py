"""What of an address may be shown."""

from __future__ import annotations

import pytest

from labkit_plugins.camera.address import Address


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://10.0.0.7:554/live", "rtsp://10.0.0.7:554/live"),
        ("rtsp://lab@10.0.0.7/live", "rtsp://lab@10.0.0.7/live"),
        ("rtsp://lab:hunter22@10.0.0.7/live", "rtsp://lab:***@10.0.0.7/live"),
        ("http://lab:p@ss@10.0.0.7/", "http://lab:***@10.0.0.7/"),
        ("http://10.0.0.7/video?key=hunter22&fps=5", "http://10.0.0.7/video?key=***&fps=***"),
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
