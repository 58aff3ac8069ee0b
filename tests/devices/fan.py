"""A fan: a driver of a lab's own, as text in pieces, for tests that write it into a `drivers` folder."""

METHODS = """
    def open(self): ...
    def close(self): ...
    def make_safe(self): ...
    def interrupt(self): ...
"""
FAN = f"""
from labkit.plugin import Driver, DriverOptions, Feed, command, hookimpl

class FanOptions(DriverOptions):
    pin: int = 3

class Fan(Driver[FanOptions]):
    kind = "fan"
    turned = Feed(bytes){METHODS}    @command
    def turn(self, speed: int) -> None: ...
"""
HOOK = """
@hookimpl
def labkit_drivers():
    return [Fan]
"""
