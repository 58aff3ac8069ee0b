"""What V4L2 nodes say, as recorded bytes of ioctls; and finding and scanning them in a made-up machine."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import DeviceOfflineError
from labkit_plugins.camera import CameraOptions, v4l2
from labkit_plugins.camera.cameras import Places, find_camera, nodes_here, preferred_format
from labkit_plugins.camera.scan import scan_cameras
from tests.conftest import OrdinaryUser

RECORDED = Path(__file__).with_name("vivid.txt")

# A USB webcam, made by hand after linux/videodev2.h: vivid has no JPEG and no second node.
CAPABILITY = struct.pack(
    "=16s32s32s3I12x", b"uvcvideo", b"HD Webcam C525", b"usb-0000:00:14.0-2", 0x060132, 0x84A00001, 0x04200001
)
METADATA_FLAGS = 0x04A00000
FORMATS = [(b"YUYV 4:2:2", b"YUYV", 0), (b"Motion-JPEG", b"MJPG", 1)]
SIZES = {b"YUYV": [(640, 480), (160, 120)], b"MJPG": [(640, 480), (1280, 720), (160, 120), (640, 480)]}


class RecordedNode:
    """Answers ioctls as the node did that was recorded; what was not asked then has no answer."""

    def __init__(self) -> None:
        lines = [line.split() for line in RECORDED.read_text().splitlines() if not line.startswith("#")]
        self.answers = {(int(request, 16), question): answer for request, question, *answer in lines}

    def __call__(self, fd: int, request: int, buffer: bytearray) -> None:
        answer = self.answers.get((request, buffer.hex()), ["ERR", str(errno.EINVAL)])
        if answer[0] == "ERR":
            raise OSError(int(answer[1]), os.strerror(int(answer[1])))
        buffer[:] = bytes.fromhex(answer[0])


class Webcam:
    """Answers ioctls as a USB webcam does."""

    def __init__(self, capability: bytes = CAPABILITY, stepwise: bool = False):
        self.capability = capability
        self.stepwise = stepwise

    def __call__(self, fd: int, request: int, buffer: bytearray) -> None:
        assert len(buffer) == (request >> 16) & 0x3FFF  # the size that the request's number says
        {v4l2.QUERYCAP: self._querycap, v4l2.ENUM_FMT: self._format, v4l2.ENUM_FRAMESIZES: self._size}[request](buffer)

    def _querycap(self, buffer: bytearray) -> None:
        buffer[:] = self.capability

    def _format(self, buffer: bytearray) -> None:
        number, sort = struct.unpack_from("=II", buffer)
        assert sort == 1
        if number >= len(FORMATS):
            raise OSError(errno.EINVAL, "Invalid argument")
        name, code, flags = FORMATS[number]
        struct.pack_into("=3I32s4s", buffer, 0, number, sort, flags, name, code)

    def _size(self, buffer: bytearray) -> None:
        number, code = struct.unpack_from("=I4s", buffer)
        if self.stepwise:
            struct.pack_into("=I4s7I", buffer, 0, number, code, 3, 48, 1920, 2, 32, 1200, 2)
        elif number < len(SIZES[code]):
            struct.pack_into("=I4s3I", buffer, 0, number, code, 1, *SIZES[code][number])
        else:
            raise OSError(errno.EINVAL, "Invalid argument")


def test_recorded_node_is_understood() -> None:
    here = v4l2.capabilities(7, RecordedNode())
    assert (here.driver, here.card, here.bus) == ("vivid", "vivid", "platform:vivid-000")
    assert here.captures
    yuyv, uyvy = v4l2.formats(7, RecordedNode())
    assert str(yuyv) == "yuyv 3840x2160, 1920x1080, 1280x720, 640x480, 640x360, 320x180"
    assert (uyvy.code, len(uyvy.sizes)) == ("UYVY", 6)


def test_webcam_is_a_camera() -> None:
    here = v4l2.capabilities(7, Webcam())
    assert (here.driver, here.card, here.bus) == ("uvcvideo", "HD Webcam C525", "usb-0000:00:14.0-2")
    assert here.captures


def test_node_for_metadata_is_no_camera_though_its_device_is_one() -> None:
    everything = struct.unpack_from("=I", CAPABILITY, 84)[0]
    assert everything & v4l2.CAPTURE
    metadata = CAPABILITY[:88] + struct.pack("=I", METADATA_FLAGS) + CAPABILITY[92:]
    assert not v4l2.capabilities(7, Webcam(metadata)).captures


def test_formats_have_their_sizes_largest_first_and_once() -> None:
    yuyv, mjpeg = v4l2.formats(7, Webcam())
    assert (yuyv.name, yuyv.code, yuyv.sizes) == ("yuyv", "YUYV", ("640x480", "160x120"))
    assert str(mjpeg) == "mjpeg 1280x720, 640x480, 160x120"


def test_camera_with_any_size_says_the_largest_and_the_smallest() -> None:
    assert v4l2.formats(7, Webcam(stepwise=True))[0].sizes == ("1920x1200", "48x32")


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, "mjpeg"),
        ({"size": "1280x720"}, "mjpeg"),
        ({"size": "1600x1200"}, None),
        ({"format": "yuyv"}, "yuyv"),
    ],
)
def test_camera_is_asked_for_jpeg_where_it_has_that(options: dict[str, Any], wanted: str | None) -> None:
    declared = CameraOptions.model_validate({"device": "/dev/video0"} | options)
    assert preferred_format(declared, v4l2.formats(7, Webcam())) == wanted


def test_camera_without_jpeg_is_asked_for_nothing() -> None:
    assert preferred_format(CameraOptions.model_validate({"device": "/dev/video0"}), []) is None


# -- a machine with two equal webcams, of two nodes each


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(nodes=tmp_path / "dev", kernel=tmp_path / "sys", processes=tmp_path / "proc")
    for folder in (found.nodes / "v4l" / "by-id", found.nodes / "v4l" / "by-path", found.kernel, found.processes):
        folder.mkdir(parents=True)
    for camera in range(2):
        usb = tmp_path / "usb" / f"1-{camera}"
        interface = usb / f"1-{camera}:1.0"
        interface.mkdir(parents=True)
        (interface / "bInterfaceNumber").write_text("00\n")
        for name, text in {"idVendor": "046d", "idProduct": "0826", "serial": f"LAB{camera}"}.items():
            (usb / name).write_text(f"{text}\n")
        for index in range(2):
            number = camera * 2 + index
            entry = found.kernel / f"video{number}"
            entry.mkdir()
            (entry / "name").write_text("HD Webcam C525\n")
            (entry / "index").write_text(f"{index}\n")
            (entry / "device").symlink_to(interface)
            (found.nodes / f"video{number}").touch()
            link = found.nodes / "v4l" / "by-id" / f"usb-Lab_LAB{camera}-video-index{index}"
            link.symlink_to(f"../../video{number}")
    return found


def test_nodes_are_known_with_their_stable_names_and_usb_identity(places: Places) -> None:
    node = nodes_here(places)[2]
    assert node.path == str(places.nodes / "video2")
    assert node.stable == str(places.nodes / "v4l" / "by-id" / "usb-Lab_LAB1-video-index0")
    assert (node.usb_id, node.usb_serial, node.usb_interface, node.number) == ("046d:0826", "LAB1", 0, 0)


def test_match_means_the_node_with_pictures(places: Places) -> None:
    options = CameraOptions.model_validate({"match": {"usb_serial": "LAB1"}})
    assert find_camera(options, "bench-1/camera", places) == str(places.nodes / "video2")


def test_match_of_two_cameras_is_refused_by_their_names(places: Places) -> None:
    options = CameraOptions.model_validate({"match": {"usb_id": "046D:0826"}})
    with pytest.raises(DeviceOfflineError, match=r"2 cameras fit the match .*LAB0.*; .*LAB1.*Say usb_serial"):
        find_camera(options, "bench-1/camera", places)


def test_match_of_none_names_what_is_there(places: Places) -> None:
    options = CameraOptions.model_validate({"match": {"usb_serial": "LAB7"}})
    with pytest.raises(
        DeviceOfflineError, match=r"usb_serial = 'LAB7' .* is not there. Cameras .*LAB0.*LAB1"
    ) as caught:
        find_camera(options, "bench-1/camera", places)
    assert "index1" not in str(caught.value)


def test_stable_name_means_the_node_behind_it(places: Places) -> None:
    stable = str(places.nodes / "v4l" / "by-id" / "usb-Lab_LAB1-video-index0")
    options = CameraOptions.model_validate({"device": stable})
    assert find_camera(options, "bench-1/camera", places) == str(places.nodes / "video2")


def test_scan_shows_each_camera_once_with_options_to_paste(places: Places) -> None:
    for number in (1, 3):
        (places.nodes / f"video{number}").unlink()  # else they would be asked, and are no video nodes
    found = scan_cameras(places)
    assert [one.path.rpartition("/")[2] for one in found] == ["usb-Lab_LAB0-video-index0", "usb-Lab_LAB1-video-index0"]
    assert found[1].title == "HD Webcam C525"
    assert found[1].options == {"device": found[1].path}
    assert found[1].facts["usb_serial"] == "LAB1"
    assert found[1].trouble.startswith("it can't be asked: ")  # a plain file, not a node


def test_scan_says_what_a_container_was_not_given(places: Places) -> None:
    (places.nodes / "video0").unlink()
    missing = scan_cameras(places)[0]
    assert missing.remedy == f"Start the container with --device={places.nodes / 'video0'}."


SCAN_AS_USER = """
from pathlib import Path
from labkit_plugins.camera.cameras import Places
from labkit_plugins.camera.scan import scan_cameras
become_ordinary()
root = Path(sys.argv[1])
for one in scan_cameras(Places(nodes=root / "dev", kernel=root / "sys", processes=root / "proc")):
    print(one.path, one.trouble, one.remedy, sep="|")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="another user's node is needed, which only root can make")
def test_scan_says_which_permission_is_missing(
    places: Places, tmp_path: Path, ordinary_user: OrdinaryUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(0o755) if parent.stat().st_uid == 0 and str(parent) not in ("/", "/tmp") else None
    node = places.nodes / "video0"
    os.chown(node, 0, 44)
    node.chmod(0o660)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    first = ordinary_user.run(SCAN_AS_USER, tmp_path).splitlines()[0].split("|")
    assert first[1].endswith("may not open it (group video, mode 0660)")
    assert first[2].startswith("Run: sudo usermod -aG video ")


def test_machine_without_cameras_has_none(tmp_path: Path) -> None:
    assert scan_cameras(Places(nodes=tmp_path, kernel=tmp_path / "none", processes=tmp_path)) == []
