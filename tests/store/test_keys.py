"""The keys of a lab: one slot, one place, no two alike."""

from __future__ import annotations

from redis.crc import key_slot

from labkit.store.keys import FAMILIES, Keys, lua_names


def test_all_keys_of_a_lab_are_in_one_slot() -> None:
    keys = Keys("my lab")
    every = [*keys.all, *(keys.of(name, "{other}id/bench-1/x") for name, _ in FAMILIES)]
    assert len({key_slot(key.encode()) for key in every}) == 1


def test_keys_begin_with_the_prefix_in_braces() -> None:
    assert Keys("lab")["holds"] == "{lab}:holds"
    assert Keys("lab").of("session", "abc") == "{lab}:session:abc"


def test_no_key_is_there_twice_and_each_is_explained() -> None:
    names = [name for name, _ in FAMILIES]
    assert len(set(names)) == len(names)
    assert all(meaning for _, meaning in FAMILIES)


def test_one_familys_keys_are_no_others() -> None:
    """`task` and `task_done` are told apart by what follows the name."""
    keys = Keys("lab")
    every = {keys.of(name, "x") for name, _ in FAMILIES} | set(keys.all)
    assert len(every) == 2 * len(FAMILIES)


def test_two_labs_share_nothing() -> None:
    assert not set(Keys("a").all) & set(Keys("b").all)


def test_scripts_get_the_keys_by_name_in_order() -> None:
    line = lua_names()
    for index, (name, _) in enumerate(FAMILIES, start=1):
        assert f" {name} = KEYS[{index}]" in line
