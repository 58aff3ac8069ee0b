"""All that a lab has in its store at one moment, as plain Python; and a copy of it, to which a store can go back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from labkit.store.connection import Store, record, text

ALL = """
local found = {}
for i, key in ipairs(redis.call("KEYS", ARGV[1])) do
  local kind = redis.call("TYPE", key).ok
  local value
  if kind == "hash" then value = redis.call("HGETALL", key)
  elseif kind == "list" then value = redis.call("LRANGE", key, 0, -1)
  elseif kind == "zset" then value = redis.call("ZRANGE", key, 0, -1, "WITHSCORES")
  elseif kind == "stream" then
    local told, about = redis.call("XINFO", "STREAM", key), {}
    for j = 1, #told, 2 do about[told[j]] = told[j + 1] end
    local newest = redis.call("XREVRANGE", key, "+", "-", "COUNT", ARGV[2])
    value = { about["entries-added"], redis.call("XLEN", key), newest }
  else value = { redis.call("GET", key) } end
  found[i] = { key, redis.call("TTL", key), value }
end
return cjson.encode(found)
"""
NEWEST = 50
"""How many entries of a stream are looked at, the newest ones; a step seldom adds more than a few."""
COPY = """
local found = {}
for _, key in ipairs(redis.call("KEYS", ARGV[1])) do
  local family = string.match(key, "}:([a-z_]+):")
  if family ~= "feed" and family ~= "relay_wake" then -- no replica has those
    found[#found + 1] = { key, redis.call("PTTL", key), redis.call("DUMP", key) }
  end
end
return found
"""


@dataclass(frozen=True, kw_only=True)
class Key:
    """ttl: seconds, -1 none."""

    ttl: int
    value: Sequence[Any]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """added: how many entries there ever were; length: how many there are; newest: the last of them, in their order,
    and ids where they are."""

    added: int = 0
    length: int = 0
    newest: Sequence[dict[str, str]] = ()
    ids: Sequence[str] = ()

    def is_end_of(self, entries: Sequence[dict[str, str]]) -> bool:
        """Are its newest entries the end of these, in any order where they were written at the same time?"""
        assert len(self.newest) == min(NEWEST, self.length)
        cut = self.length > NEWEST  # perhaps in the middle of a moment, which is left out then
        return in_order(self.newest)[cut:] == in_order(entries[len(entries) - len(self.newest) :])[cut:]


def in_order(entries: Sequence[dict[str, str]]) -> list[list[list[tuple[str, str]]]]:
    """What one script tells of several devices or tasks comes in any order: that is sorted here."""
    moments = groupby(entries, key=lambda entry: entry.get("at"))
    return [sorted(sorted(entry.items()) for entry in at_once) for _, at_once in moments]


class Seen:
    """What there is, by the names of `labkit.store.keys`; what is not there is empty. Whoever looks at something has it
    compared: `is_all` asks whether there is more."""

    def __init__(self, store: Store):
        start = store.keys["lab"].removesuffix("lab")
        self.keys = {
            key.removeprefix(start): Key(ttl=ttl, value=value)
            for key, ttl, value in json.loads(store.command("EVAL", ALL, 0, "*", NEWEST))
        }
        self._compared: set[str] = set()

    def is_all(self) -> None:
        """See that there is nothing but what was looked at, and that no fixed key goes by itself."""
        unknown = set(self.keys) - self._compared
        assert not unknown, f"nobody knows of {unknown}"
        assert all(key.ttl == -1 for name, key in self.keys.items() if ":" not in name)

    def _value(self, name: str) -> Sequence[Any]:
        self._compared.add(name)
        return self.keys[name].value if name in self.keys else []

    def hash(self, name: str) -> dict[str, str]:
        return record(self._value(name))

    def list(self, name: str) -> list[str]:
        return [text(item) for item in self._value(name)]

    def scores(self, name: str) -> dict[str, float]:
        return {member: float(score) for member, score in self.hash(name).items()}

    def stream(self, name: str) -> Stream:
        found = self._value(name)
        if not found:
            return Stream()
        added, length, entries = found
        ids, newest = [text(place) for place, _ in entries], [record(fields) for _, fields in entries]
        return Stream(added=int(added), length=int(length), newest=newest[::-1], ids=ids[::-1])

    def ttl(self, name: str) -> int | None:
        """Seconds, -1 none; None: there is no such key."""
        return self.keys[name].ttl if name in self.keys else None

    def family(self, name: str) -> dict[str, str]:
        """The members of a family that there are -> the names of their keys."""
        return {key.removeprefix(f"{name}:"): key for key in self.keys if key.startswith(f"{name}:")}


class Copy:
    """A copy of all that a lab has, as a replica has it."""

    def __init__(self, store: Store):
        self._store = store
        self._all = f"{store.keys['lab'].removesuffix('lab')}*"
        self._kept = store.command("EVAL", COPY, 0, self._all)

    def bring_back(self) -> None:
        """From now on this is what the lab has."""
        there = self._store.command("KEYS", self._all)
        if there:
            self._store.command("DEL", *there)
        for key, ttl, value in self._kept:
            self._store.command("RESTORE", key, max(0, ttl), value)
