"""`labkit devices scan` names every real device, says who has it, and writes declarations that are right."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

from labkit.devices.declaration import check_declarations
from labkit.devices.plugins import load_plugins
from tests.hardware.hands import CHIP, LONG, PORT, USB_SERIAL, cameras, unplug_camera, unplug_serial


def labkit(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "labkit.cli", *arguments], cwd=folder, capture_output=True, text=True, timeout=LONG,
        check=False, **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def found(folder: Path, **options: Any) -> dict[str, dict[str, Any]]:
    """What was found, by its path."""
    answer = json.loads(labkit(folder, "devices", "scan", "--json", **options).stdout)
    assert answer["failed"] == []
    return {one["path"]: one for one in answer["found"]}


def test_all_three_devices_are_found_by_their_stable_names(tmp_path: Path) -> None:
    there = found(tmp_path)
    port = there[str(PORT)]
    assert port["kind"] == "serial"
    assert port["options"] == {"match": {"usb_serial": USB_SERIAL}}
    assert port["facts"]["usb_id"] == "1d6b:0104"
    assert (port["title"], port["trouble"]) == ("HWVM Lab_Serial", "")
    (chip,) = [one for one in there.values() if one["kind"] == "gpio" and one["options"].get("chip") == CHIP]
    assert chip["trouble"] == ""
    (camera,) = [one for one in there.values() if one["kind"] == "camera"]
    assert Path(camera["path"]) in cameras()
    assert "vivid" in str(camera).lower()


def test_file_to_paste_is_a_bench_without_a_mistake_and_is_then_declared(tmp_path: Path) -> None:
    text = labkit(tmp_path, "devices", "scan", "--toml").stdout
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "bench-1.toml").write_text(text)
    checked = check_declarations(tmp_path / "devices", load_plugins(None))
    (bench,) = checked.benches
    assert checked.problems == []
    assert {"serial", "gpio", "camera"} <= {device.kind for device in bench.devices}
    assert [path for path, one in found(tmp_path).items() if not one["declared"]] == []


def test_program_that_has_the_port_open_is_named(tmp_path: Path) -> None:
    with subprocess.Popen(["sh", "-c", f"exec 3<>{PORT}; echo; read never"], stdin=subprocess.PIPE, stdout=-1) as other:
        assert other.stdout
        other.stdout.readline()
        assert f"process {other.pid} (" in found(tmp_path)[str(PORT)]["trouble"]
        other.communicate()


def test_missing_permission_comes_with_the_command_that_grants_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    group = grp.getgrgid(PORT.stat().st_gid).gr_name
    assert group == "dialout"
    nobody = pwd.getpwnam("nobody")
    port = found(tmp_path, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])[str(PORT)]
    assert "user nobody may not open it" in port["trouble"]
    assert "sudo usermod -aG dialout nobody" in port["remedy"]
    dialout = [grp.getgrnam("dialout").gr_gid]
    port = found(tmp_path, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=dialout)[str(PORT)]
    assert (port["trouble"], port["remedy"]) == ("", "")


def test_what_is_unplugged_is_not_found(tmp_path: Path) -> None:
    unplug_serial()
    unplug_camera()
    there = found(tmp_path)
    assert not os.path.lexists(PORT)
    assert [one for one in there.values() if one["kind"] == "camera" or one["path"] == str(PORT)] == []


def test_people_see_every_kind_with_its_names(tmp_path: Path) -> None:
    text = labkit(tmp_path, "devices", "scan").stdout
    for shown in (
        "\nserial\n",
        "\ngpio\n",
        "\ncamera\n",
        f"  {PORT}  HWVM Lab_Serial\n",
        "HWVM",
        CHIP,
        str(cameras()[0]),
    ):
        assert shown in "\n" + text
