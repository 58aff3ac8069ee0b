"""A lab that acquires its benches by itself, by their features: all or nothing, in both layouts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labkit.store.reservations import Duty
from tests.flows.harness import LAYOUTS, FlowLab
from tests.flows.people import eventually


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bench_is_acquired_by_its_features_or_the_start_says_why_not(
    make_lab: Callable[..., FlowLab], layout: str
) -> None:
    lab = make_lab(benches=2, settings={"LABKIT_ACQUIRE": False})
    with open(lab.folder / "devices" / "bench-2.toml", "a") as file:
        file.write('\n[bench]\nfeatures = ["camera", "uno"]\n')
    lab.start(layout)
    camera = {"acquire": {"features": ["camera"]}}
    first = lab.rlms.must_start("first", length=300, client=camera)
    assert list(lab.sessions.touch(first.session_id, poll=False).fences) == ["bench-2"]

    status, answer = lab.rlms.start("second", client=camera)
    assert status == 503
    assert answer["message"].startswith("bench-2 is reserved by another session since ")
    status, answer = lab.rlms.start("third", client={"acquire": {"features": ["lift"]}})
    assert status == 503
    assert answer["message"].startswith("There is no bench with the feature 'lift'.")

    lab.reservations.set_duty("bench-2", Duty.DRAINED, "exam")
    assert first.enter().ask("POST", "/write", b"# still\r")[0] == 200
    eventually(lambda: lab.rlms.dispose(first.session_id)["message"] == "Deleted")
    lab.wait_free()
    status, answer = lab.rlms.start("fourth", client=camera)
    assert status == 503
    assert answer["message"].startswith("bench-2 is given to nobody new since ")
    lab.reservations.set_duty("bench-2", Duty.IN_SERVICE)
    lab.rlms.must_start("fifth", client=camera)
