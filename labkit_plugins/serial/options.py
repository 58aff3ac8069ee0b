"""What a declaration may say about a serial device. Used by the driver, its twin and the declaration reader.

Nothing here touches hardware or imports pyserial: a declaration is checked on any machine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from posixpath import normpath
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from labkit.plugin import Doubt, DriverOptions, OptionError, Takes, UsbMatch

LinePolicy = StrictBool | Literal["keep"]

_COUNTED = re.compile(r"/dev/tty\w*(USB|ACM)[0-9]+")
"""Ports that are numbered in the order of plugging in. Those of the machine itself, /dev/ttyS0, stay what they are."""

_SIMULATED = {"properties": {"simulate": {"const": True}}, "required": ["simulate"]}
_PLACES: dict[str, Any] = {
    "anyOf": [{"required": ["port"]}, {"required": ["match"]}, _SIMULATED],
    "not": {"required": ["port", "match"]},
}
"""What `_one_place` checks, for editors."""


class ResetPulse(BaseModel):
    """How the board is reset: a line goes to the opposite of its resting level for a while, and back.

    An Arduino resets when DTR comes back (`line = "dtr"`, DTR resting on); an ESP32 while RTS is on (`line = "rts"`,
    with `dtr = false` and `rts = false`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    line: Literal["dtr", "rts", "both"] = Field(default="dtr", description="Line that is pulsed: dtr, rts or both.")
    ms: int = Field(default=100, ge=1, le=5000, description="Length of the pulse in milliseconds.")


class SerialSafe(BaseModel):
    """What the board is told, or done to it, when the device is made safe; and the answer that proves it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    send: str | None = Field(
        default=None,
        min_length=1,
        description='Text sent to the board, "\\u0003halt\\r"; begin with its key for "cancel this line".',
    )
    reset: bool = Field(default=False, description="Reset the board instead of sending text.")
    expect: str | None = Field(
        default=None, min_length=1, description="Text that the board must answer; without it nothing is awaited."
    )
    timeout: float = Field(default=2.0, gt=0, le=30, description="Seconds that the answer may take.")

    @model_validator(mode="after")
    def _one_act(self) -> Self:
        if (self.send is not None) == self.reset:
            raise ValueError('say exactly one of send = "..." and reset = true')
        return self


class SerialOptions(DriverOptions):
    """A serial port: where it is, how bytes are framed, what its lines do, and its safe state."""

    model_config = ConfigDict(json_schema_extra=_PLACES)

    port: str | None = Field(
        default=None, pattern="^/", description="Path of the tty; /dev/serial/by-id/... survives a replug."
    )
    match: UsbMatch | None = Field(
        default=None, description="The USB device instead of a path: usb_serial, usb_id, usb_interface."
    )
    baudrate: int = Field(default=115200, ge=50, le=12_000_000, description="Speed in bits per second.")
    bytesize: Literal[5, 6, 7, 8] = Field(default=8, description="Data bits in a character.")
    parity: Literal["none", "even", "odd", "mark", "space"] = Field(
        default="none", description="Parity bit of a character."
    )
    stopbits: Literal[1, 2] = Field(default=1, description="Stop bits after a character.")
    xonxoff: bool = Field(default=False, description="Flow control by the characters XON and XOFF.")
    rtscts: bool = Field(default=False, description="Flow control by the lines RTS and CTS.")
    dtr: LinePolicy = Field(
        default=True, description='Resting level of DTR: true, false, or "keep" to leave it as it is.'
    )
    rts: LinePolicy = Field(
        default=True,
        description='Resting level of RTS: true, false, or "keep"; flow control has it where rtscts is on.',
    )
    reset: ResetPulse = Field(default_factory=ResetPulse, description="The pulse that resets the board: line, ms.")
    write_timeout: float = Field(
        default=5.0, gt=0, le=300, description="Seconds that a write may stand still before it fails."
    )
    safe: SerialSafe | None = Field(default=None, description="Safe state of the board: send and expect, or reset.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.port is not None and self.match is not None:
            raise OptionError("say port or match, not both", path=("match",))
        if self.port is None and self.match is None and not self.simulate:
            raise ValueError("say where it is: port or match (or simulate = true)")
        if self.match is not None and not self.match.said:
            raise ValueError("match is empty: say usb_serial, usb_id or usb_interface")
        return self

    @model_validator(mode="after")
    def _one_master_of_rts(self) -> Self:
        taken = "rts" in self.model_fields_set and self.rts != "keep"
        pulsed = "reset" in self.model_fields_set and self.reset.line != "dtr"
        if self.rtscts and (taken or pulsed):
            raise ValueError("rtscts = true gives RTS to flow control: rts and a reset by rts can't be had with it")
        return self

    def takes(self) -> Sequence[Takes]:
        if self.port is not None:
            return [Takes(what=normpath(self.port), path=("port",))]
        if self.match is None:
            return ()
        return [Takes(what="serial port", match=self.match, path=("match", next(iter(self.match.said))))]

    def doubts(self) -> Sequence[Doubt]:
        if self.port is None or not _COUNTED.fullmatch(self.port):
            return ()
        message = (
            f"{self.port} may be another device after a restart or a replug. Name what is burned into the device: "
            'match = { usb_serial = "..." }, or a path from /dev/serial/by-id/. `labkit devices scan` shows both.'
        )
        return [Doubt(message=message, path=("port",))]

    @property
    def resting(self) -> tuple[bool | None, bool | None]:
        """Levels of DTR and RTS that the driver keeps; None for a line that it leaves alone."""
        dtr = None if self.dtr == "keep" else self.dtr
        rts = None if self.rts == "keep" or self.rtscts else self.rts
        return dtr, rts
