"""ProgramTwin: the driver's side of a twin whose hardware is a program of its own. Used by all bundled twins.

The program is started once for each device and host process, outlives the driver's `close`, and ends with the process.
One that a dead host left behind is waited for; one that a living process has is refused, by its number.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from labkit.plugin import FAULTS, DeviceOfflineError, Twin
from labkit_plugins.twins.control import CONTROL, Control, ControlError

START_TIMEOUT = 15.0
END_TIMEOUT = 5.0
_PACKAGES = Path(__file__).resolve().parents[2]


class ProgramTwin(Twin):
    """Mixin of a twin: `class SimulatedChip(ProgramTwin, GpioDevice)` with `program = "labkit_plugins.gpio.chip"`."""

    program: ClassVar[str]
    """Module that is run as the program; see `program.py`."""

    @property
    def control(self) -> Path:
        """The program's control channel."""
        return Path(self.link.folder) / CONTROL

    def program_arguments(self) -> list[str]:
        """What the program is started with, besides its folder."""
        return []

    def ask(self, request: str) -> dict[str, Any]:
        """Ask the program once. Errors: OSError where it does not run, ControlError where it refuses."""
        with Control(self.control) as control:
            return control.ask(request)

    def inject(self, fault: str) -> None:
        if fault not in FAULTS:
            raise ValueError(f"There is no fault '{fault}'. There are: {', '.join(FAULTS)}.")
        try:
            self.ask(fault)
        except OSError as error:
            raise ConnectionError(f"Nobody simulates '{self.link.name}' at the moment ({error}).") from error

    def injected(self) -> frozenset[str]:
        try:
            return frozenset(self.ask("hello")["faults"])
        except OSError as error:
            raise ConnectionError(f"Nobody simulates '{self.link.name}' at the moment ({error}).") from error

    def ensure_program(self) -> None:
        """Have the program running: our process's own one, or else a new one. Errors: `DeviceOfflineError`."""
        if not self._program_is_ours():
            self._start_program()

    def _program_is_ours(self) -> bool:
        try:
            control = Control(self.control)
        except (FileNotFoundError, ConnectionError):  # none yet, or what a killed one left behind
            return False
        except (BlockingIOError, TimeoutError) as error:
            raise DeviceOfflineError(
                f"The simulated {self._kind} of '{self.link.name}' is there and takes no connections: its program is "
                f"stopped or very busy. Let it go on, or end it: {self.program} with --folder {self.link.folder}.",
                device=self.link.name,
            ) from error
        with control:
            try:
                parent = control.ask("hello")["parent"]
            except ControlError:  # it is ending right now, or it is stopped
                parent = "unknown"
            if parent == os.getpid():
                return True
            if control.wait_for_end(END_TIMEOUT):
                return False
        raise DeviceOfflineError(
            f"The simulated {self._kind} of '{self.link.name}' belongs to process {parent}. End that one first.",
            device=self.link.name,
        )

    def _start_program(self) -> None:
        """Start the program and wait until it is ready. `-P`: a module of the lab's folder takes no module's place."""
        arguments = ["--folder", str(self.link.folder), "--parent", str(os.getpid()), *self.program_arguments()]
        paths = [str(_PACKAGES), os.environ.get("PYTHONPATH", "")]
        started = subprocess.run(
            [sys.executable, "-P", "-m", self.program, "--background", *arguments],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=START_TIMEOUT,
            text=True,
        )
        if started.returncode != 0:
            raise RuntimeError(
                f"The simulated {self._kind} of '{self.link.name}' did not start: {started.stderr.strip()}"
            )

    @property
    def _kind(self) -> str:
        return self.program.rpartition(".")[2]
