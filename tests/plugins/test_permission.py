"""Who may not open a device's file is told what grants it: the group that the file has, or a rule that gives it one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit_plugins.permission import forbidden, missing_permission


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("ttyACM12", ', SUBSYSTEM=="tty", KERNEL=="ttyACM*", GROUP="dialout", MODE="0660", and be in that group'),
        ("video0", ', SUBSYSTEM=="video4linux", KERNEL=="video*", GROUP="video", MODE="0660", and be in that group'),
        ("gpiochip4", ', SUBSYSTEM=="gpio", KERNEL=="gpiochip*", GROUP="gpio", MODE="0660", and be in that group'),
        ("7", ""),
    ],
)
def test_file_of_root_alone_needs_a_rule(tmp_path: Path, name: str, rule: str) -> None:
    (tmp_path / name).touch(0o600)
    (tmp_path / "by-id").symlink_to(tmp_path / name)
    missing = missing_permission(str(tmp_path / "by-id"))
    assert missing.remedy == f"Give it a group by a udev rule{rule}"
    assert missing.trouble.startswith(f"user {missing.user} may not open it (group ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to a group")
def test_file_of_a_group_needs_a_member(tmp_path: Path) -> None:
    (tmp_path / "ttyUSB0").touch()
    os.chmod(tmp_path / "ttyUSB0", 0o660)
    os.chown(tmp_path / "ttyUSB0", 0, 54321)  # a number that no group has
    assert str(forbidden(str(tmp_path / "ttyUSB0"), "bench-1/console")) == (
        f"User root may not open {tmp_path}/ttyUSB0 of 'bench-1/console' (group 54321, mode 0660). "
        "Run: sudo usermod -aG 54321 root, and log in again."
    )


def test_file_that_has_gone_meanwhile_is_a_device_that_is_offline(tmp_path: Path) -> None:
    error = forbidden(str(tmp_path / "ttyUSB0"), "bench-1/console")
    assert str(error) == f"{tmp_path}/ttyUSB0 of 'bench-1/console' has just gone; it is tried again by itself."
