"""A small twin program for the tests of its base: a lamp that can be lit, watched and made to fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from labkit_plugins.twins.channel import Channel
from labkit_plugins.twins.program import Place, TwinProgram, parser, run


class Lamp(TwinProgram):
    """It keeps lamps as neighbours, and remembers what it met and heard."""

    def __init__(self, place: Place, kind: str):
        super().__init__(place)
        self.kind = kind
        self.lit = 0
        self.turns = 0
        self.notes: dict[str, list[Any]] = {"heard": [], "met": [], "told": []}
        self.requests |= {"light": self._light, "flicker": self._flicker}

    def status(self) -> Mapping[str, Any]:
        kept = len(tuple(self.neighbours.kept))
        return {"lit": self.lit, "turns": self.turns, "kept": kept, "watchers": len(self._watchers), **self.notes}

    def as_it_is(self) -> Iterable[Mapping[str, Any]]:
        return [{"lit": self.lit}]

    def faulted(self, fault: str) -> None:
        self.notes["heard"].append(fault)

    def watched(self) -> Any:
        self.turns += 1
        return super().watched()

    def met(self, neighbour: Channel, kind: str) -> bool:
        self.notes["met"].append(kind)
        if kind == "lamp":
            neighbour.send("watch")
        return kind == "lamp"

    def heard(self, neighbour: Channel, packet: Mapping[str, Any]) -> None:
        if list(packet) == ["lit"]:
            self.notes["told"].append(packet["lit"])

    def _light(self, client: Channel, words: list[str]) -> None:
        level = int(words[0])
        self.later(float(words[2]), lambda: self._set(level)) if len(words) > 1 else self._set(level)

    def _flicker(self, client: Channel, words: list[str]) -> None:
        for number in range(int(words[0])):
            self._set(number % 2)

    def _set(self, level: int) -> None:
        self.lit = level
        self.push({"lit": level})


def main() -> None:
    options = parser("tests.plugins.twins.lamp", __doc__)
    options.add_argument("--kind", default="lamp")
    arguments = options.parse_args()
    run(Lamp(Place.of(arguments), arguments.kind), arguments)


if __name__ == "__main__":
    main()
