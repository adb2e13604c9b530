"""An experiment from its plan to its verdict: known effects are found, and what cannot be compared is refused."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campaigns.errors import InputError
from experiments.ab import run_ab
from experiments.abtest.analysis import analyse, text
from experiments.abtest.outcomes import Assigned, read_outcomes
from experiments.abtest.plan import from_history, given, plan
from experiments.abtest.settings import AbConfig, Absent, Task
from history.artifacts import read_json
from serving.arms import Arm
from serving.section import Table
from serving.sections import ab

PARTS = np.array([4000.0, 1000.0, 1500.0, 3500.0])
N = 12_000
EFFECT = 0.6


def people(n: int = N) -> Assigned:
    rng = np.random.default_rng(1)
    arm = rng.choice(4, size=n, p=PARTS / PARTS.sum())
    ids = pd.Index([f"c{number:05d}" for number in range(n)])
    return Assigned(ids, arm.astype(np.int64), rng.integers(1, 4, n), PARTS, date(2018, 1, 1))


def lived(assigned: Assigned, effect: float = EFFECT, weeks: int = 4, fade: float = 0.0) -> pd.DataFrame:
    """Return what came of them: offers move the margin of the optimised arm, random ones half as much."""
    rng = np.random.default_rng(2)
    n = len(assigned.customers)
    before = rng.gamma(4.0, 1.5, n)
    works = np.array([1.0, 0.5, 0.2, 0.0])[assigned.arm]
    rows = []
    for week in range(weeks):
        sessions = rng.poisson(2.0, n) + 1
        margin = before + rng.normal(0.0, 2.0, n) + works * effect * (1.0 - fade * week)
        rows.append(
            pd.DataFrame(
                {
                    "customer_id": assigned.customers,
                    "period": week,
                    "margin": margin,
                    "conversions": rng.binomial(sessions, 0.2 + 0.05 * works),
                    "sessions": sessions,
                    "before": before,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def settings(**changes: Any) -> AbConfig:
    return AbConfig(
        act=Task.ANALYSE, **{"metrics": ["margin", "conversions/sessions"], "covariate": "before"} | changes
    )


def found(rows: pd.DataFrame, assigned: Assigned, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    file, config = tmp_path / "outcomes.parquet", settings(**changes)
    rows.to_parquet(file, index=False)
    return analyse(read_outcomes(file, assigned, config), assigned, config, "USD")


def test_an_effect_is_found_within_its_interval_and_said_in_words(tmp_path: Path) -> None:
    told = found(lived(people()), people(), tmp_path)
    margin, ratio = told["metrics"]
    first = margin["comparisons"][0]
    assert (first["arm"], first["against"]) == ("optimised", "holdout")
    assert first["difference"]["lo"] < EFFECT < first["difference"]["hi"]
    assert (
        first["always_valid"]["lo"]
        < first["difference"]["lo"]
        < first["difference"]["hi"]
        < first["always_valid"]["hi"]
    )
    assert margin["explained"] > 0.8
    rate = ratio["comparisons"][0]
    assert rate["difference"]["lo"] < 0.05 < rate["difference"]["hi"]
    assert rate["relative"]["lo"] < 0.25 < rate["relative"]["hi"]
    assert told["verdict"].startswith("the optimised arm is better than no offers: margin +0.")
    assert "which holds however often one looks" in told["verdict"]
    assert margin["novelty"]["lo"] < 0 < margin["novelty"]["hi"] and margin["segments_differ"] > 1e-3
    assert told["verdict"] in text(told)


def test_a_covariate_narrows_the_interval_and_moves_it_little(tmp_path: Path) -> None:
    rows, assigned = lived(people()), people()
    with_it, without = (
        found(rows, assigned, tmp_path, covariate=name)["metrics"][0]["comparisons"][0]["difference"]
        for name in ("before", "")
    )
    assert with_it["error"] < 0.5 * without["error"]


def test_an_effect_that_wears_off_is_said_to(tmp_path: Path) -> None:
    told = found(lived(people(), effect=2.0, fade=0.25), people(), tmp_path)
    assert told["metrics"][0]["novelty"]["hi"] < 0 and "wears off" in told["verdict"]


def test_no_effect_is_no_verdict_and_it_says_how_much_longer(tmp_path: Path) -> None:
    told = found(lived(people(), effect=0.02), people(), tmp_path)
    assert told["verdict"].startswith("cannot tell yet whether the optimised arm is better than no offers")
    assert "more periods would tell" in told["verdict"] or "more customers are needed" in told["verdict"]
    assert "one period" in found(lived(people(), effect=0.0, weeks=1), people(), tmp_path)["verdict"]


def test_a_split_that_is_not_as_planned_silences_every_effect(tmp_path: Path) -> None:
    assigned = people()
    rows = lived(assigned)
    lost = np.flatnonzero(assigned.arm == 3)[::10]  # a tenth of those without offers never came in
    rows = rows[~rows["customer_id"].isin(assigned.customers[lost])]
    told = found(rows, assigned, tmp_path, absent=Absent.MISSING)
    assert told["split"]["mismatch"] and not told["metrics"]
    assert told["verdict"].startswith("stop: the arms are not split as planned")
    assert "stop" in text(told) and ab.section(told | {"settings": {}}, "USD").verdict.startswith("Stop")


def test_a_customer_without_a_row_bought_nothing_unless_that_is_not_known(tmp_path: Path) -> None:
    assigned = people()
    rows = lived(assigned)
    gone = assigned.customers[::7]
    rows = rows[~rows["customer_id"].isin(gone)]
    told = found(rows, assigned, tmp_path, covariate="")
    assert sum(told["without_rows"].values()) == len(gone) and sum(told["customers"].values()) == N
    left = found(rows, assigned, tmp_path, covariate="", absent=Absent.MISSING)
    assert sum(left["customers"].values()) == N - len(gone)
    with pytest.raises(InputError, match=r"before is not known of 1,7\d\d customers"):
        found(rows, assigned, tmp_path)


def test_arms_that_are_too_small_are_not_compared(tmp_path: Path) -> None:
    assigned = people(200)
    told = found(lived(assigned), assigned, tmp_path)
    assert told["verdict"].startswith("not estimable: no two arms to compare have 100 customers each")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda r: r.assign(customer_id=r["customer_id"].where(r.index != 5, "x")),
            r"row 5: customer 'x' is not in the",
        ),
        (lambda r: r.assign(margin=r["margin"].where(r.index != 3)), r"row 3: margin is nan \(1 such rows\)"),
        (lambda r: r.assign(margin=r["margin"].where(r.index != 3, np.inf)), "row 3: margin is inf"),
        (lambda r: pd.concat([r, r.tail(2)]), r"customer 'c11998' stands there twice in one period \(2 such"),
        (lambda r: r.drop(columns="sessions"), "no column 'sessions'; it has customer_id"),
        (lambda r: r.assign(period="2017-12-25"), "lies before 2018-01-01, from when the policy table is valid"),
        (lambda r: r.assign(period="soon"), "period is 'soon'; expected whole numbers throughout, or days"),
        (lambda r: r.assign(arm="holdout"), r"row \d: customer 'c0000\d' is in arm 'holdout', and in the policy table"),
        (lambda r: r.assign(before=r["before"] + r["period"]), "before of customer .* differs from another"),
        (lambda r: r.assign(sessions=0), "conversions/sessions is not estimable: the sum of sessions in arm optimised"),
        (lambda r: r.head(0), "no rows"),
    ],
)
def test_outcomes_with_a_mistake_are_refused_in_one_line(
    spoil: Callable[[pd.DataFrame], pd.DataFrame], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        found(spoil(lived(people())), people(), tmp_path)


def test_a_csv_counts_lines_and_reads_ids_as_text(tmp_path: Path) -> None:
    assigned, file = people(), tmp_path / "outcomes.csv"
    rows = lived(assigned)
    rows.assign(margin=rows["margin"].astype(object).where(rows.index != 1, "many")).to_csv(file, index=False)
    with pytest.raises(InputError, match=r"outcomes.csv: line 3: margin is 'many'"):
        read_outcomes(file, assigned, settings())
    rows.to_csv(file, index=False)
    assert read_outcomes(file, assigned, settings()).periods == ("0", "1", "2", "3")
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"outcomes.csv: "):
        read_outcomes(file, assigned, settings())


def test_the_section_shows_every_comparison(tmp_path: Path) -> None:
    shown = ab.section(found(lived(people()), people(), tmp_path), "USD")
    tables = [block for block in shown.blocks if isinstance(block, Table)]
    assert [len(table.rows) for table in tables] == [4, 5, 3, 4, 5]


def test_a_plan_from_a_history_is_one_of_its_own_spread() -> None:
    rng = np.random.default_rng(0)
    habit = rng.gamma(3.0, 5.0, (3000, 1))
    values = (habit + rng.normal(0.0, 6.0, (3000, 30))).astype(np.float32)
    config = AbConfig(weeks=6, effect=0.04)
    baseline = from_history(values, config, "USD")
    one, six = baseline.plain[0], baseline.plain[5]
    assert one.deviation == pytest.approx(np.sqrt(75 + 36), rel=0.05)
    assert six.deviation == pytest.approx(np.sqrt(75 + 6), rel=0.05)
    assert baseline.adjusted[5].explained == pytest.approx(75**2 / ((75 + 36 / 8) * (75 + 6)), abs=0.03)
    told = plan(baseline, {"optimised": 1500, "random_control": 0, "business_as_usual": 500, "holdout": 1000}, config)
    assert [one["against"] for one in told["comparisons"]] == ["holdout", "business_as_usual"]
    enough = told["comparisons"][0]["enough_weeks"]
    assert 2 <= enough <= 4 and told["verdict"].startswith(f"{enough} weeks show a difference of 0.6")


def test_a_plan_by_numbers_says_when_no_time_is_enough() -> None:
    config = AbConfig(weeks=4, effect=0.02, mean=10.0, deviation=12.0, alike=0.5, explained=0.3)
    told = plan(given(config), {"optimised": 900, "random_control": 0, "business_as_usual": 0, "holdout": 100}, config)
    assert told["verdict"].startswith("4 weeks do not show a difference of 0.2 per customer and week (2%)")
    assert told["comparisons"][0]["needed"][0] == pytest.approx(9 * told["comparisons"][0]["needed"][1], rel=0.01)
    with pytest.raises(InputError, match="no two arms have customers"):
        plan(given(config), {"optimised": 900, "random_control": 0, "business_as_usual": 0, "holdout": 0}, config)
    with pytest.raises(InputError, match="expected at least 12"):
        from_history(np.ones((10, 9), np.float32), AbConfig(weeks=4), "USD")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"effect": 0.0}, "an effect that is not 0"),
        ({"mean": 1.0}, "give both ab.mean and ab.deviation"),
        ({"metrics": ["a", "a"]}, "none of them twice"),
        ({"metrics": ["a/"]}, "two with one / between them"),
        ({"column": "luck"}, "expected spend or visits"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        AbConfig(**wrong)


def test_the_verb_plans_and_analyses_the_table_of_a_run(
    finished: Path, configure: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "tiny")
    planned = read_json(run_ab(configure(tmp_path, "ab.weeks=2", "ab.column=visits")))
    assert planned["unit"] == "" and 0 < planned["mean"] < 1
    table = pd.read_parquet(tmp_path / "tiny" / "policy" / "policy_by_customer.parquet")
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"customer_id": table["customer_id"], "arm": table["arm"], "margin": rng.normal(size=len(table))}
    )
    rows.to_csv(tmp_path / "outcomes.csv", index=False)
    more = ("ab.act=analyse", f"ab.outcomes={tmp_path / 'outcomes.csv'}", "ab.least=2")
    first = run_ab(configure(tmp_path, *more))
    told, written = read_json(first), first.read_bytes()
    assert told["inputs"]["outcomes"] and told["unit"] == "USD"
    assert sum(told["customers"].values()) == len(table) == sum(
        (table["arm"] == arm.value).sum() for arm in Arm
    )  # fmt: skip
    assert run_ab(configure(tmp_path, *more)).read_bytes() == written
    assert "ab: " in capsys.readouterr().out
    with pytest.raises(InputError, match=r"ab\.outcomes is empty"):
        run_ab(configure(tmp_path, "ab.act=analyse"))
