"""What the simulated board does with its bytes: a small command line like that of many microcontrollers.

Used by the board program. Pure: bytes in, bytes out, and a clock; it knows nothing of ptys, sockets or processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

BANNER = b"\r\nlabkit board, 4 leds. Type help.\r\n"
PROMPT = b"> "
LEDS = 4
FLOOD_LIMIT = 4_000_000
_LINE_LIMIT = 128
_HELP = (
    "help             this list",
    "led N [on|off]   show or switch one of the leds 1 to 4",
    "temp             temperature of the board",
    "echo TEXT        say TEXT",
    "uptime           seconds since the last reset",
    "flood N          send N bytes",
    "halt             all leds off",
    "reset            start again",
)


class Firmware:
    """The board from its reset on. `feed` takes what comes over the line and returns what goes back."""

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._commands: dict[str, Callable[[list[str]], str]] = {
            "help": lambda words: "\r\n".join(_HELP),
            "led": self._led,
            "temp": lambda words: f"temp is {self._temperature():.1f} C",
            "echo": lambda words: " ".join(words),
            "uptime": lambda words: f"uptime is {self._clock() - self._started:.1f} s",
            "flood": self._flood,
            "halt": self._halt,
        }
        self.reset()

    def reset(self) -> bytes:
        """Start again: leds off, nothing typed. Returns the boot banner and a prompt."""
        self.leds = dict.fromkeys(range(1, LEDS + 1), False)
        self._started = self._clock()
        self._typed = bytearray()
        self._escape = b""
        self._after_cr = False
        return BANNER + PROMPT

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the line: typed characters are echoed, and each finished line is carried out."""
        return b"".join(self._key(data[index : index + 1]) for index in range(len(data)))

    def press(self, down: bool) -> bytes:
        """The board's button goes down or up: it says so, and shows again what was being typed."""
        return b"\r\nbutton " + (b"pressed" if down else b"released") + b"\r\n" + PROMPT + bytes(self._typed)

    def _key(self, key: bytes) -> bytes:
        if key == b"\x1b" or (self._escape and key >= b" "):
            self._follow_escape(key)
            return b""
        self._escape = b""  # a control character ends a sequence that is not complete
        newline_of_pair = key == b"\n" and self._after_cr
        self._after_cr = key == b"\r"
        if newline_of_pair:
            return b""
        if key in (b"\r", b"\n"):
            return self._enter()
        if key in (b"\x08", b"\x7f"):
            return self._rub_out(1)
        if key == b"\x15":  # Ctrl-U
            return self._rub_out(len(self._typed))
        if key == b"\x03":  # Ctrl-C
            self._typed.clear()
            return b"^C\r\n" + PROMPT
        return self._type(key)

    def _follow_escape(self, key: bytes) -> None:
        """Swallow an arrow or function key: ESC and one key, ESC O and one key, or ESC [ up to a letter or ~."""
        self._escape += key
        if self._escape.startswith(b"\x1b["):
            complete = len(self._escape) > 2 and b"@" <= key <= b"~"
        else:
            complete = len(self._escape) > (2 if self._escape.startswith(b"\x1bO") else 1)
        if complete:
            self._escape = b""

    def _type(self, key: bytes) -> bytes:
        if not (b" " <= key <= b"~" or key >= b"\x80"):
            return b""
        if len(self._typed) >= _LINE_LIMIT:
            return b"\x07"
        self._typed += key
        return key

    def _rub_out(self, count: int) -> bytes:
        count = min(count, len(self._typed))
        del self._typed[len(self._typed) - count :]
        return b"\b \b" * count

    def _enter(self) -> bytes:
        line = self._typed.decode("utf-8", "replace")
        self._typed.clear()
        name, *words = line.split() or [""]
        if name == "reset":
            return b"\r\n" + self.reset()
        answer = self._run(name, words)
        return b"\r\n" + (answer.encode() + b"\r\n" if answer else b"") + PROMPT

    def _run(self, name: str, words: list[str]) -> str:
        if not name:
            return ""
        run = self._commands.get(name)
        return run(words) if run is not None else f"unknown command {name}, type help"

    def _led(self, words: list[str]) -> str:
        if len(words) not in (1, 2) or not words[0].isdecimal() or int(words[0]) not in self.leds:
            return f"usage: led N [on|off], N is 1 to {LEDS}"
        number = int(words[0])
        if len(words) == 2:
            if words[1] not in ("on", "off"):
                return f"led {number} can be on or off"
            self.leds[number] = words[1] == "on"
        return f"led {number} is {'on' if self.leds[number] else 'off'}"

    def _halt(self, words: list[str]) -> str:
        self.leds = dict.fromkeys(self.leds, False)
        return "halted, all leds are off"

    def _flood(self, words: list[str]) -> str:
        if len(words) != 1 or not words[0].isdecimal() or not 0 < int(words[0]) <= FLOOD_LIMIT:
            return f"usage: flood N, N is 1 to {FLOOD_LIMIT}"
        count = int(words[0])
        return ("0123456789abcdef" * (count // 16 + 1))[:count]

    def _temperature(self) -> float:
        """Room temperature that moves a little in a minute, and half a degree for each led that is on."""
        return 24.0 + 0.5 * sum(self.leds.values()) + math.sin((self._clock() - self._started) / 10)
