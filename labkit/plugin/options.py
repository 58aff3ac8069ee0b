"""Options of a driver: a pydantic model per driver. For plugin authors.

Unknown keys are refused and all errors are reported at once, because the model forbids extras and the declaration
reader collects every error of a file. Each field's `description` is its one-line help, with its unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

_USB_ID = "[0-9a-fA-F]{4}:[0-9a-fA-F]{4}"
_CALLED = {"usb_serial": "USB serial number", "usb_id": "USB id", "usb_interface": "USB interface"}


@dataclass(frozen=True, kw_only=True)
class Takes:
    """A piece of hardware that an open device has for itself, so that two declarations of it are a mistake.

    what: its identity as people read it, the same for whoever means it: `line 17 of chip pinctrl-rp1`. match: where a
    USB device is meant, what is said of it; `what` is then only what it is taken for: `serial port`, `camera`. path:
    the keys in the declaration that say so: `("match", "usb_serial")`.
    """

    what: str
    path: tuple[str | int, ...] = ()
    match: UsbMatch | None = None

    def __str__(self) -> str:
        return self.what if self.match is None else f"{self.what} with {self.match}"

    def may_be(self, other: Takes) -> bool:
        """Whether both may mean one piece of hardware."""
        if self.match is None or other.match is None:
            return self.what == other.what
        return self.what == other.what and self.match.may_be(other.match)


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """Something in a declaration that is allowed and likely to go wrong: a warning. message: what may happen, and what
    to write instead; without the key, which is put before it."""

    message: str
    path: tuple[str | int, ...] = ()


class OptionError(ValueError):
    """What a validator of options raises to point at one key, also at one below its own table.

    `OptionError("there is no such line", path=("safe", "gren"), known=lines)` in a model's validator is shown at the
    key `gren` of its table `safe`: `safe.gren: there is no such line. Did you mean green?`. path: from the table of
    the model that raises. message: without the key, which is put before it. known: the words that would be right; the
    nearest one is suggested, and all are named where none is near. suggestion: the right one, where that is certain.
    """

    def __init__(
        self, message: str, *, path: tuple[str | int, ...] = (), known: Iterable[str] = (), suggestion: str = ""
    ):
        self.message = message
        self.path = path
        self.known = tuple(known)
        self.suggestion = suggestion
        self.others: tuple[OptionError, ...] = ()
        super().__init__(message)

    @classmethod
    def raise_all(cls, errors: Iterable[OptionError]) -> None:
        """Raise all of them at once, nothing where there are none: each is then shown at its own key."""
        collected = tuple(errors)
        if collected:
            collected[0].others = collected[1:]
            raise collected[0]


class DriverOptions(BaseModel):
    """Base of every driver's options: the keys that every device has. A driver adds its own, and types `safe`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)  # there may be secrets in it

    title: str = Field(default="", description="Name shown on the page; the device's name where empty.")
    simulate: bool = Field(default=False, description="Use the driver's simulated twin instead of the hardware.")
    safe: Any = Field(default=None, description="What the driver sets when it makes the device safe.")

    def takes(self) -> Sequence[Takes]:
        """The hardware that the device has for itself; not asked where it is simulated."""
        return ()

    def doubts(self) -> Sequence[Doubt]:
        """What is likely to go wrong with this declaration; not asked where it is simulated."""
        return ()


class UsbMatch(BaseModel):
    """A USB device by what is burned into it, so that it is found again after a replug or reboot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    usb_serial: str | None = Field(default=None, description="USB serial number.")
    usb_id: str | None = Field(
        default=None,
        description='Vendor and product id in hex, "2341:0043".',
        json_schema_extra={"pattern": f"^{_USB_ID}$"},
    )
    usb_interface: int | None = Field(
        default=None, ge=0, le=255, description="Interface number, for adapters with several ports."
    )

    @property
    def said(self) -> dict[str, str | int]:
        """What it says, by key; what it does not say may be anything."""
        return self.model_dump(exclude_none=True)

    def may_be(self, other: UsbMatch) -> bool:
        """Whether one device may fit both: neither contradicts the other, and they have more in common than the number
        of an interface, which most devices have; or one says all that the other says."""
        mine, others = self.said, other.said
        shared = mine.keys() & others.keys()
        if any(mine[key] != others[key] for key in shared):
            return False
        return bool(shared - {"usb_interface"}) or len(shared) == min(len(mine), len(others))

    def __str__(self) -> str:
        return ", ".join(f"{_CALLED.get(key, key)} {value}" for key, value in self.said.items())

    @field_validator("usb_id")
    @classmethod
    def _hex_pair(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(_USB_ID, value):
            raise ValueError('must be vendor:product in hex, for example "2341:0043"')
        return value.lower() if value is not None else None
