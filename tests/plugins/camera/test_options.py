"""What a declaration may say about a camera, and what it is told where that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from labkit.plugin import Secret
from labkit_plugins.camera import CameraOptions


def refused(**options: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        CameraOptions.model_validate(options)
    return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in caught.value.errors())


@pytest.mark.parametrize(
    "options",
    [
        {"device": "/dev/v4l/by-id/usb-Lab_Camera_7-video-index0"},
        {"match": {"usb_serial": "7"}},
        {"url": "rtsp://10.0.0.7/stream"},
        {"url": "/srv/recording.mp4"},
        {"url": {"env": "CAMERA"}},
        {"test_pattern": True},
        {"simulate": True},
        {"device": "/dev/video0", "simulate": True},
    ],
)
def test_each_place_alone_is_accepted(options: dict[str, Any]) -> None:
    assert CameraOptions.model_validate(options)


def test_camera_without_a_place_is_refused() -> None:
    assert "say where it is: device, match, url or test_pattern = true (or simulate = true)" in refused()


def test_camera_with_two_places_is_refused_by_their_names() -> None:
    assert "say only one of device and url" in refused(device="/dev/video0", url="rtsp://host/")
    assert "say only one of url and test_pattern" in refused(url="rtsp://host/", test_pattern=True)


def test_empty_match_is_refused() -> None:
    assert "is empty: say usb_serial, usb_id or usb_interface" in refused(match={})


@pytest.mark.parametrize("size", ["1280", "1280x", "0x7", "big", "1280*720"])
def test_size_that_is_none_is_refused_with_an_example(size: str) -> None:
    assert refused(test_pattern=True, size=size) == (
        'size: Value error, must be width x height in pixels, for example "1280x720"'
    )


@pytest.mark.parametrize("size", ["16385x10", "10x16385", "99999x99999"])
def test_size_that_is_too_large_is_refused_with_the_limit(size: str) -> None:
    assert refused(test_pattern=True, size=size) == "size: Value error, must not be over 16384 pixels wide or high"
    assert CameraOptions.model_validate({"test_pattern": True, "size": "16384x16384"}).pixels == (16384, 16384)


@pytest.mark.parametrize(
    ("options", "seconds"),
    [({}, 5.0), ({"rate": 25}, 5.0), ({"rate": 0.1}, 20.0), ({"rate": 0.1, "timeout": 60}, 60.0)],
)
def test_patience_is_two_pictures_time_at_least(options: dict[str, Any], seconds: float) -> None:
    assert CameraOptions.model_validate({"test_pattern": True, **options}).patience == seconds


@pytest.mark.parametrize("url", ["recording.mp4", "../recording.mp4", "camera", ""])
def test_address_that_depends_on_the_current_folder_is_refused(url: str) -> None:
    assert "must be an address such as rtsp://host/path, or a whole path such as /srv/film.mp4" in refused(url=url)


@pytest.mark.parametrize(
    ("key", "value"),
    [("rotation", 45), ("flip", "both"), ("rate", 0), ("quality", 0), ("timeout", 0), ("format", "M J")],
)
def test_value_out_of_range_is_refused_at_its_key(key: str, value: Any) -> None:
    assert refused(test_pattern=True, **{key: value}).startswith(f"{key}: ")


def test_refusal_does_not_repeat_an_address_with_a_password() -> None:
    with pytest.raises(ValidationError) as caught:
        CameraOptions.model_validate({"url": "rtsp://user:hunter22@host/", "test_pattern": True})
    assert "hunter22" not in str(caught.value)


def test_repr_of_options_does_not_show_the_address() -> None:
    assert "hunter22" not in repr(CameraOptions.model_validate({"url": "rtsp://user:hunter22@host/"}))


def test_address_may_be_kept_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("rtsp://user:hunter22@host/\n")
    options = CameraOptions.model_validate({"url": {"file": str(tmp_path / "address")}})
    assert isinstance(options.url, Secret)
    assert options.url.reveal() == "rtsp://user:hunter22@host/"
    assert options.doubts() == []


def test_camera_is_taken_by_the_name_that_the_declaration_has() -> None:
    (taken,) = CameraOptions.model_validate({"device": "/dev/v4l//by-id/./lab"}).takes()
    assert (str(taken), taken.path) == ("camera /dev/v4l/by-id/lab", ("device",))
    (taken,) = CameraOptions.model_validate({"match": {"usb_serial": "7"}}).takes()
    assert (str(taken), taken.path) == ("camera with USB serial number 7", ("match", "usb_serial"))
    (taken,) = CameraOptions.model_validate({"match": {"usb_interface": 2, "usb_id": "046D:0821"}}).takes()
    assert (str(taken), taken.path) == ("camera with USB id 046d:0821, USB interface 2", ("match", "usb_id"))
    assert CameraOptions.model_validate({"test_pattern": True}).takes() == ()


def test_numbered_node_is_doubted() -> None:
    (doubt,) = CameraOptions.model_validate({"device": "/dev/video0"}).doubts()
    assert doubt.path == ("device",)
    assert "/dev/video0 may be another camera after a replug or restart" in doubt.message
    assert CameraOptions.model_validate({"device": "/dev/v4l/by-id/lab"}).doubts() == []


def test_password_in_the_declaration_is_doubted_without_repeating_it() -> None:
    (doubt,) = CameraOptions.model_validate({"url": "rtsp://user:hunter22@host/"}).doubts()
    assert doubt.path == ("url",)
    assert 'url = { env = "NAME" }' in doubt.message
    assert "hunter22" not in doubt.message
