"""A store that went back a moment may have forgotten how a device is: its host tells it again."""

from __future__ import annotations

from tests.loop.host_bench import HostBench, Node
from tests.loop.host_bench import lab as lab
from tests.toy import wait_until


def test_condition_that_the_store_has_forgotten_is_told_again(lab: HostBench) -> None:
    """Else the device would be out of service for ever: nothing changes at it that could be told."""
    Node(lab).up()
    lab.wait_ok()
    key = lab.store.keys["conditions"]
    lab.store.command("HSET", key, "bench-1/toy", "offline 1.0 - being opened")  # as its last moment was
    wait_until(lambda: lab.store.command("HGET", key, "bench-1/toy").startswith(b"ok "), "the condition")
    assert lab.world.acts == ["open", "safe"]


def test_condition_that_the_store_has_lost_is_told_again(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    lab.store.command("HDEL", lab.store.keys["conditions"], "bench-1/toy")
    lab.wait_ok()
