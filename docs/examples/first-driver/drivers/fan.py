"""A fan that Linux drives: a file that holds its speed, 0 to 255."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from labkit.plugin import DeviceOfflineError, Driver, DriverOptions, Feed, SafeStateError, command, hookimpl

Percent = Annotated[int, Field(ge=0, le=100)]


class FanOptions(DriverOptions):
    pwm: Path = Field(description="The fan's file, /sys/class/hwmon/hwmon2/pwm1 for example.")
    safe: Percent = Field(default=0, description="Speed in its safe state, in percent.")


class Fan(Driver[FanOptions]):
    """A cooling fan."""

    kind = "fan"
    speed = Feed(int, help="Speed of the fan in percent, each time that it was set.")

    file: Path | None = None

    def open(self) -> None:
        self.file = self.find()

    def close(self) -> None:
        self.file = None  # each use of the file opens and closes it

    def interrupt(self) -> None:
        pass  # nothing here ever waits

    def make_safe(self) -> None:
        level = round(self.options.safe * 2.55)
        self.pwm.write_text(str(level))
        if int(self.pwm.read_text()) != level:
            raise SafeStateError(f"The fan '{self.link.name}' does not take its safe speed.", device=self.link.name)

    @command(panel=True)
    def set_speed(self, percent: Percent) -> None:
        """Set the speed in percent."""
        self.pwm.write_text(str(round(percent * 2.55)))
        self.speed.emit(percent)

    @command
    def get_speed(self) -> int:
        """Read the speed in percent."""
        return round(int(self.pwm.read_text()) / 2.55)

    @property
    def pwm(self) -> Path:
        if self.file is None:
            raise DeviceOfflineError(f"The fan '{self.link.name}' is not open.", device=self.link.name)
        return self.file

    def find(self) -> Path:
        if not self.options.pwm.exists():
            raise DeviceOfflineError(f"There is no fan at {self.options.pwm}.", device=self.link.name)
        return self.options.pwm


class SimulatedFan(Fan):
    """The twin: the same driver, on a plain file."""

    def find(self) -> Path:
        file = self.link.folder / "pwm1"
        if not file.exists():
            file.write_text("0")
        return file


Fan.simulated = SimulatedFan


@hookimpl
def labkit_drivers():
    return [Fan]
