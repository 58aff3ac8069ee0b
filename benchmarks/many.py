"""Many sessions, benches and tasks in labkit's store, made by its own scripts. Used by the measures of growth.

They are real ones: each is started and made active by the scripts that a lab uses, only without a round trip for each.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import redis

from labkit.store.connection import Store
from labkit.store.keys import Keys
from labkit.store.reservations import Condition, Reservations
from labkit.store.scripts import script_hash, script_source

OWNER = "bench:1:owner"
SECONDS = 7200.0
BATCH = 500
USER: dict[str, Any] = {
    "username": "bench", "username_unique": "bench@bench", "full_name": "A Student", "locale": "en", "back": None,
    "experiment_name": "bench", "category_name": "Benchmarks", "experiment_id": "bench@Benchmarks",
    "client_data": {}, "server_data": {},
}  # fmt: skip


def start_sessions(client: redis.Redis, prefix: str, count: int) -> list[str]:
    """Start so many sessions without a bench, and make them active. Returns their ids."""
    keys, started = Keys(prefix), []
    for script in ("session_start", "session_activate"):
        client.script_load(script_source(script))
    for size in _batches(count):
        ids = [secrets.token_urlsafe(32) for _ in range(size)]
        pipeline = client.pipeline(transaction=False)
        for session_id in ids:
            new = (OWNER, 120.0, "-", "", "", "", repr(SECONDS), repr(SECONDS), json.dumps(USER))
            _add(pipeline, keys, "session_start", session_id, *new)
            _add(pipeline, keys, "session_activate", session_id, OWNER)
        if b"active" not in pipeline.execute():
            raise RuntimeError("The sessions that were to be live are not active.")
        started += ids
    return started


def claim_benches(store: Store, names: Sequence[str], devices: int, process: str = OWNER) -> dict[str, int]:
    """Claim benches with so many devices each, all of them ok. Returns each bench's fence."""
    reservations, claims = Reservations(store), {}
    own = [f"device-{number}" for number in range(devices)]
    for name in names:
        claim = reservations.claim_bench(
            name, process, "bench", devices=own, features=(), info={"title": name, "devices": {}}, silence=30.0
        )
        if isinstance(claim, str):
            raise RuntimeError(f"The bench {name} is {claim}'s.")
        claims[name] = claim.fence
        for device in own:
            reservations.report(name, claim.fence, f"{name}/{device}", Condition.OK, "", 0)
    return claims


def _batches(count: int) -> Iterator[int]:
    while count > 0:
        yield min(count, BATCH)
        count -= BATCH


def _add(pipeline: Any, keys: Keys, script: str, *arguments: Any) -> None:
    pipeline.evalsha(script_hash(script), len(keys.all), *keys.all, "", *arguments)
