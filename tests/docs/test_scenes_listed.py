"""docs/examples: the list has every example, and each of those that are scenes says how it is started."""

from __future__ import annotations

from tests.docs.markdown import commands_in, rows_of
from tests.docs.running_scene import EXAMPLES

OF_OTHER_PAGES = {"first-lab", "first-driver", "by-hand"}
"""The tutorial and a how-to page say how these are started."""


def test_list_has_a_line_for_every_example() -> None:
    shown = [row[0].partition("]")[0].strip("[") for row in rows_of((EXAMPLES / "README.md").read_text("utf-8"))[1:]]
    assert sorted(shown) == sorted(path.name for path in EXAMPLES.iterdir() if (path / "lab.py").is_file())


def test_every_scene_says_how_it_is_started_and_is_run_by_a_test() -> None:
    tests = "".join(path.read_text("utf-8") for path in EXAMPLES.parents[1].glob("tests/docs/test_scenes_*.py"))
    for folder in EXAMPLES.iterdir():
        if (folder / "lab.py").is_file() and folder.name not in OF_OTHER_PAGES:
            commands = [" ".join(words) for words in commands_in(folder / "README.md")]
            assert {"labkit run", "labkit loop"} & set(commands), folder.name
            assert f'scene("{folder.name}")' in tests


def test_no_example_is_longer_than_a_reader_takes_in_at_once() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in EXAMPLES.rglob("*.py")}
    assert {str(path): lines for path, lines in lengths.items() if lines > 90} == {}
