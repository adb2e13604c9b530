"""A step is done once, done again when anything it came from changes, and never taken for done when it is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from campaigns.errors import InputError
from experiments.runs import MANIFEST, Step, require, require_same_inputs, require_settings
from history.artifacts import hash_file, write_text


def done(folder: Path, settings: dict[str, Any] | None = None, text: str = "made", **inputs: Path) -> Step:
    """Do a step that writes one file."""
    step = Step(folder, "cook", settings or {"heat": 1}, inputs)
    step.begin()
    write_text(folder / "meal.txt", text)
    step.finish()
    return step


def test_a_finished_step_is_done_and_its_manifest_hashes_what_it_wrote(tmp_path: Path) -> None:
    step = done(tmp_path / "cook")
    assert step.is_done()
    assert require(step.folder, "cook")["files"] == {"meal.txt": hash_file(step.folder / "meal.txt")}


def test_a_step_that_was_never_begun_is_not_done(tmp_path: Path) -> None:
    assert not Step(tmp_path / "cook", "cook", {}, {}).is_done()


def test_a_step_that_broke_off_leaves_no_manifest_and_is_not_done(tmp_path: Path) -> None:
    step = done(tmp_path / "cook")
    step.begin()
    assert not step.is_done()
    with pytest.raises(InputError, match=r"cook: not finished; run `python -m experiments\.cook` first"):
        require(step.folder, "cook")


def test_other_settings_call_for_another_go(tmp_path: Path) -> None:
    step = done(tmp_path / "cook", {"heat": 1})
    assert not Step(step.folder, "cook", {"heat": 2}, {}).is_done()
    assert Step(step.folder, "cook", {"heat": 1}, {}).is_done()


def test_the_order_of_settings_is_nothing(tmp_path: Path) -> None:
    step = done(tmp_path / "cook", {"heat": 1, "salt": 2})
    assert Step(step.folder, "cook", {"salt": 2, "heat": 1}, {}).is_done()


def test_an_input_that_was_made_anew_with_the_same_bytes_changes_nothing(tmp_path: Path) -> None:
    shop = done(tmp_path / "shop")
    step = done(tmp_path / "cook", shop=shop.folder)
    done(tmp_path / "shop")
    assert step.is_done()


def test_an_input_that_changed_calls_for_another_go(tmp_path: Path) -> None:
    shop = done(tmp_path / "shop")
    step = done(tmp_path / "cook", shop=shop.folder)
    done(tmp_path / "shop", text="other")
    assert not step.is_done()


@pytest.mark.parametrize("harm", [lambda path: path.write_text("changed"), lambda path: path.unlink()])
def test_a_changed_or_lost_file_is_named_and_the_step_is_not_done(tmp_path: Path, harm: Any) -> None:
    step = done(tmp_path / "cook")
    harm(step.folder / "meal.txt")
    assert not step.is_done()
    with pytest.raises(InputError, match=r"meal\.txt: not the file that `cook` wrote; run `cook` again"):
        require(step.folder, "cook")


def test_artifacts_of_two_runs_do_not_mix(tmp_path: Path) -> None:
    shop, other = done(tmp_path / "shop"), done(tmp_path / "other", text="other")
    step = done(tmp_path / "cook", shop=shop.folder)
    assert require_same_inputs(step.folder, "cook", {"shop": shop.folder})
    with pytest.raises(InputError, match=r"made from another shop \([0-9a-f]{8}\) than the one in .*other \("):
        require_same_inputs(step.folder, "cook", {"shop": other.folder})


def test_an_input_that_the_step_never_read_is_refused(tmp_path: Path) -> None:
    step, more = done(tmp_path / "cook"), done(tmp_path / "more")
    with pytest.raises(InputError, match="made from another more"):
        require_same_inputs(step.folder, "cook", {"more": more.folder})


def test_an_unfinished_input_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"shop: not finished; run `python -m experiments\.shop` first"):
        Step(tmp_path / "cook", "cook", {}, {"shop": tmp_path / "shop"}).key()


def test_a_manifest_that_is_no_json_is_named(tmp_path: Path) -> None:
    step = done(tmp_path / "cook")
    (step.folder / MANIFEST).write_text("{", "utf-8")
    with pytest.raises(InputError, match="not readable as JSON"):
        step.is_done()


def test_logs_and_hidden_leftovers_do_not_belong_to_the_result(tmp_path: Path) -> None:
    step = Step(tmp_path / "cook", "cook", {}, {})
    step.begin()
    write_text(step.folder / "meal.txt", "made")
    write_text(step.folder / "tensorboard" / "events", "curves")
    write_text(step.folder / ".meal.txt.x.tmp", "torn")
    step.finish()
    assert list(require(step.folder, "cook")["files"]) == ["meal.txt"]
    (step.folder / "tensorboard" / "events").write_text("more curves")
    assert step.is_done()


def test_a_manifest_holds_no_absolute_path(tmp_path: Path) -> None:
    shop = done(tmp_path / "shop")
    step = done(tmp_path / "cook", shop=shop.folder)
    text = (step.folder / MANIFEST).read_text("utf-8")
    assert str(tmp_path) not in text
    assert json.loads(text)["key"]["inputs"] == {"shop": hash_file(shop.folder / MANIFEST)}


def test_a_step_made_with_other_settings_is_refused_unless_they_may_differ(tmp_path: Path) -> None:
    step = done(tmp_path / "cook", {"heat": 1, "salt": [2.0]})
    require_settings(step)
    hotter = Step(step.folder, "cook", {"heat": 2, "salt": [2.0]}, {})
    require_settings(hotter, ignored=("heat",))
    with pytest.raises(InputError, match=r"cook: made with other settings of 'heat' .* run `cook` with them too"):
        require_settings(hotter)
