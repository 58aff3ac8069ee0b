"""Who may open a file of a device, in names, and what grants it. Used by the bundled drivers and their scans."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass

from labkit.plugin import DeviceOfflineError

_USUAL = {"gpiochip": ("gpio", "gpio"), "video": ("video4linux", "video"), "tty": ("tty", "dialout")}
"""Subsystem and usual group of the files in /dev whose names begin so."""


@dataclass(frozen=True, kw_only=True)
class MissingPermission:
    """Why a user may not open a file, in names; remedy: the command, or the act, that grants it."""

    user: str
    group: str
    mode: str
    remedy: str

    @property
    def trouble(self) -> str:
        """As a scan says it of what it has found."""
        return f"user {self.user} may not open it (group {self.group}, mode {self.mode})"


def missing_permission(path: str) -> MissingPermission:
    """Say what keeps this process's user from a file that is there. Errors: OSError where it has gone."""
    info = os.stat(path)
    group = _name(lambda: grp.getgrgid(info.st_gid).gr_name, info.st_gid)
    user = _name(lambda: pwd.getpwuid(os.geteuid()).pw_name, os.geteuid())
    by_group = info.st_gid != 0 and info.st_mode & 0o060 == 0o060
    remedy = f"Run: sudo usermod -aG {group} {user}, and log in again" if by_group else _rule_for(path)
    return MissingPermission(user=user, group=group, mode=f"{stat.S_IMODE(info.st_mode):04o}", remedy=remedy)


def forbidden(path: str, device: str) -> DeviceOfflineError:
    """The error for a device's file that this user may not open; it says what grants it. Never raises."""
    try:
        missing = missing_permission(path)
    except OSError:  # unplugged since
        return DeviceOfflineError(f"{path} of '{device}' has just gone; it is tried again by itself.", device=device)
    return DeviceOfflineError(
        f"User {missing.user} may not open {path} of '{device}' (group {missing.group}, mode {missing.mode}). "
        f"{missing.remedy}.",
        device=device,
    )


def _rule_for(path: str) -> str:
    kernel = re.sub(r"[0-9]+$", "*", os.path.basename(os.path.realpath(path)))
    usual = next((names for beginning, names in _USUAL.items() if kernel.startswith(beginning)), None)
    if usual is None:
        return "Give it a group by a udev rule"
    subsystem, group = usual
    rule = f'SUBSYSTEM=="{subsystem}", KERNEL=="{kernel}", GROUP="{group}", MODE="0660"'
    return f"Give it a group by a udev rule, {rule}, and be in that group"


def _name(look_up: Callable[[], str], number: int) -> str:
    try:
        return look_up()
    except KeyError:  # a user or group without an entry, as in a container
        return str(number)
