from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.customers import FIGURES, PROFILES, read_profiles, write_customers
from experiments.history import PreparedHistory, full_weeks
from experiments.sections import read_sections
from history.artifacts import hash_file
from history.events import WeeklyEvents
from history.features import FEATURES
from history.panel import build_panel
from history.purchases import Purchases
from history.quality import CouponValues, Quality
from history.splits import SplitConfig, split_history
from serving.figures import Chart
from serving.sections.customers import section
from simulators.observation import CAMPAIGN_FEATURES
from simulators.profiles.grouping import CustomersConfig
from simulators.profiles.segments import INPUTS
from simulators.profiles.table import profile_customers, score_columns
from simulators.promotion import Categories
from tests.history.fabricated_weeks import CATEGORIES, fabricate_weeks

QUICK = CustomersConfig(resamples=2, intervals=20)
Change = Callable[[WeeklyEvents], WeeklyEvents]


def as_history(events: WeeklyEvents) -> PreparedHistory:
    quality = Quality(
        tables={}, missing_tables={}, notes=[], currency="EUR", week_origin="2024-01-01", first_week=1, last_week=53,
        totals={}, coupon_values=CouponValues(0, 0, 0, ()),
    )  # fmt: skip
    splits = split_history(events.customer_ids, full_weeks(events.baskets.shape[1]), SplitConfig())
    rows = np.zeros(0, dtype=np.int64)
    nothing = Purchases(rows, rows, rows, rows, rows, pd.DataFrame())  # profiles are made of weeks alone
    return PreparedHistory(build_panel(events), pd.DataFrame(), quality, splits, nothing)


def people(events: WeeklyEvents) -> pd.DataFrame:
    age = np.where(np.arange(events.n) % 3 == 0, "old", "young")
    return pd.DataFrame({"customer": np.arange(events.n), "customer_id": events.customer_ids, "age": age})


def shop(names: tuple[str, ...] = CATEGORIES) -> Categories:
    k = len(names)
    return Categories(names, torch.full((k,), 0.3), torch.full((k,), 1 / k), torch.ones(k))


@pytest.fixture(scope="module")
def events() -> WeeklyEvents:
    return fabricate_weeks(n=420)


@pytest.fixture(scope="module")
def written(events: WeeklyEvents, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("run") / "fit" / "customers"
    return folder, write_customers(folder, as_history(events), people(events), shop(), QUICK, seed=0)


def test_every_customer_has_one_profile_without_gaps(
    written: tuple[Path, dict[str, Any]], events: WeeklyEvents
) -> None:
    profiles = read_profiles(written[0])
    assert tuple(profiles["customer_id"]) == events.customer_ids
    assert not profiles.isna().any(axis=None)
    assert set(score_columns("EUR")) <= set(profiles.columns)
    assert (profiles["value_26w_lo_eur"] <= profiles["value_26w_eur"]).all()
    assert (profiles["value_26w_eur"] <= profiles["value_26w_hi_eur"]).all()
    assert (profiles["value_52w_eur"] <= 2 * profiles["value_26w_eur"] + 1e-6).all()
    for chance in ("p_alive", "churn_risk", "price_sensitivity"):
        assert profiles[chance].between(0, 1).all()


def test_the_same_history_and_seed_write_the_same_bytes(
    written: tuple[Path, dict[str, Any]], events: WeeklyEvents, tmp_path: Path
) -> None:
    write_customers(tmp_path, as_history(events), people(events), shop(), QUICK, seed=0)
    for name in (PROFILES, FIGURES, "segments.safetensors", "segments.json"):
        assert hash_file(tmp_path / name) == hash_file(written[0] / name), name


def test_demographics_change_nothing_but_their_own_description(
    written: tuple[Path, dict[str, Any]], events: WeeklyEvents, tmp_path: Path
) -> None:
    figures = write_customers(
        tmp_path, as_history(events), people(events)[["customer", "customer_id"]], shop(), QUICK, seed=0
    )
    assert figures["demographics"] == []
    assert written[1]["demographics"] != []
    assert hash_file(tmp_path / PROFILES) == hash_file(written[0] / PROFILES)
    assert hash_file(tmp_path / "segments.safetensors") == hash_file(written[0] / "segments.safetensors")


def test_no_policy_sees_a_demographic(written: tuple[Path, dict[str, Any]], events: WeeklyEvents) -> None:
    known = {"age", "income", "home_ownership", "marital_status", "household_size", "household_composition", "kids"}
    history = as_history(events)
    now = history.panel.state_before(history.panel.n_weeks)
    seen = profile_customers(shop(), now, events.customer_ids, "EUR", read_profiles(written[0]))
    for names in (FEATURES, CAMPAIGN_FEATURES, INPUTS, read_profiles(written[0]).columns, seen.columns):
        assert not {part for name in names for part in known if part in name.split("_") or part == name}


def test_the_export_takes_segments_and_scores_from_the_fit(
    written: tuple[Path, dict[str, Any]], events: WeeklyEvents
) -> None:
    history, scores = as_history(events), read_profiles(written[0])
    now = history.panel.state_before(history.panel.n_weeks)
    rows = profile_customers(shop(), now, events.customer_ids, "EUR", scores.iloc[::-1])
    assert rows["segment"].tolist() == scores["segment"].tolist()
    assert rows["weeks_since_visit"].to_numpy() == pytest.approx(scores["weeks_since_visit"].to_numpy())
    assert not rows.isna().any(axis=None)


def test_what_test_customers_do_changes_no_fit(
    written: tuple[Path, dict[str, Any]], events: WeeklyEvents, tmp_path: Path
) -> None:
    test = as_history(events).splits.test.customers
    arrays = {name: getattr(events, name).copy() for name in ("baskets", "spend", "promo_spend", "redeemed")}
    for array in arrays.values():
        array[test] = 0
    figures = write_customers(tmp_path, as_history(replace(events, **arrays)), people(events), shop(), QUICK, seed=0)
    assert hash_file(tmp_path / "segments.safetensors") == hash_file(written[0] / "segments.safetensors")
    for part, name in (("value", "weights"), ("value", "survival"), ("churn", "weights")):
        assert figures[part][name] == written[1][part][name]


def without_spend(events: WeeklyEvents) -> WeeklyEvents:
    return replace(events, spend=events.spend * 0, promo_spend=events.promo_spend * 0,
                   category_spend=events.category_spend * 0)  # fmt: skip


def without_visits(events: WeeklyEvents) -> WeeklyEvents:
    return replace(without_spend(events), baskets=events.baskets * 0, redeemed=events.redeemed * 0)


def without_campaigns(events: WeeklyEvents) -> WeeklyEvents:
    return replace(events, contacted=events.contacted * 0, redeemed=events.redeemed * 0, saving=events.saving * 0)


def all_alike(events: WeeklyEvents) -> WeeklyEvents:
    same = {name: np.ones_like(events.spend) for name in ("baskets", "spend")}
    none = {
        name: np.zeros_like(events.spend) for name in ("promo_spend", "exposure", "redeemed", "saving", "contacted")
    }
    return replace(events, **same, **none)


def one_week_each(events: WeeklyEvents) -> WeeklyEvents:
    only = np.zeros_like(events.baskets)
    only[np.arange(events.n), 20 + np.arange(events.n) % 30] = 1
    rows = {name: getattr(events, name) * only for name in ("spend", "promo_spend", "redeemed", "saving")}
    return replace(events, baskets=only, category_spend=events.category_spend * only[:, :, None], **rows)


def one_category(events: WeeklyEvents) -> WeeklyEvents:
    return replace(events, category_spend=events.spend[:, :, None], category_names=("other",),
                   category_departments=("",))  # fmt: skip


def short(events: WeeklyEvents) -> WeeklyEvents:
    names = ("weeks", "baskets", "spend", "promo_spend", "saving", "redeemed", "contacted", "exposure")
    cut = {name: getattr(events, name)[..., :40] for name in names}
    return replace(events, **cut, category_spend=events.category_spend[:, :40])


ALIKE = ("segmentation", "Customers are one segment: too few customers differ.")
NO_VALUE = ("value", "Lifetime value is not estimable")
NO_CHURN = ("churn", "Churn risk is assumed")


@pytest.mark.parametrize(
    ("change", "part", "verdict"),
    [
        (without_spend, *NO_VALUE),
        (without_visits, *NO_CHURN),
        (all_alike, *ALIKE),
        (one_week_each, "sensitivity", "It is not shown that customers who score"),
        pytest.param(without_campaigns, "value", "Forecast value", marks=pytest.mark.slow),
        pytest.param(one_category, "value", "Forecast value", marks=pytest.mark.slow),
        pytest.param(short, "value", "Forecast value", marks=pytest.mark.slow),
    ],
)
def test_a_degenerate_history_gives_verdicts_and_no_nan(
    events: WeeklyEvents, change: Change, part: str, verdict: str, tmp_path: Path
) -> None:
    changed = change(events)
    folder = tmp_path / "fit" / "customers"
    figures = write_customers(folder, as_history(changed), people(changed), shop(changed.category_names), QUICK, seed=0)
    assert not read_profiles(folder).isna().any(axis=None)
    assert figures[part]["verdict"].startswith(verdict)
    assert all(figures[name]["verdict"].endswith(".") for name in ("segmentation", "value", "churn", "sensitivity"))
    (shown,) = read_sections(tmp_path, "EUR")
    assert shown.blocks


def test_where_nobody_redeems_nothing_is_said_of_who_does(written: tuple[Path, dict[str, Any]]) -> None:
    figures = written[1]
    unseen = {**figures["sensitivity"], "redeemed_by_third": [0.0, 0.0, 0.0], "score_auc": None, "promo_auc": None}
    said = str(section({**figures, "sensitivity": unseen}, "EUR"))
    assert "who redeems is not judged: none did in the test weeks" in said
    assert "None" not in said


def test_the_section_shows_each_picture_once_and_names_every_segment(written: tuple[Path, dict[str, Any]]) -> None:
    shown = section(written[1], "EUR")
    charts = [block for block in shown.blocks if isinstance(block, Chart)]
    assert len({chart.alt for chart in charts}) == len(charts) >= 4
    table = shown.blocks[0]
    assert "Spend per week [EUR]" in table.headings
    named = [row["segment"] for row in written[1]["segmentation"]["rows"]]
    assert [row[0][3:] for row in table.rows] == named
