"""Shops that a user may well bring: each run ends with a report that says what is not known, or with one clear line."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from experiments.evaluate import run_evaluate
from experiments.export import run_export
from experiments.fit import run_fit
from experiments.main import CONF
from experiments.prepare import run_prepare
from experiments.train import run_train
from tests.experiments.conftest import Configure, Overrides

pytestmark = pytest.mark.slow
Tables = dict[str, pd.DataFrame]
Refuse = Callable[..., str]
KNAPSACK = ("agent=knapsack", "agent.steps=1", "export.agent=knapsack")
SCENARIOS = sorted(path.stem for path in (CONF / "scenario").glob("*.yaml"))
NOTHING_SHOWN = r"\b(?:nan|NaN|None|inf)\b"
"""What a page must not show of a figure that is not there."""
ODD = {"GROCERY": "=1+1", "PRODUCE": 'l\'ail "alt", $x$', "MEAT": "<b>肉</b>"}


def weeks(tables: Tables) -> "pd.Series[int]":
    """Return the week of each line, counted from 0."""
    return (pd.to_datetime(tables["transactions"]["date"]) - pd.Timestamp("2024-01-01")).dt.days // 7


def too_short(tables: Tables) -> Tables:
    return {**tables, "transactions": tables["transactions"][weeks(tables) < 20]}


def no_money(tables: Tables) -> Tables:
    return {**tables, "transactions": tables["transactions"].assign(spend=0.0)}


def three_customers(tables: Tables) -> Tables:
    few = {"0000", "0001", "0002"}
    return {
        name: table[table["customer_id"].isin(few)] if "customer_id" in table else table
        for name, table in tables.items()
    }


def soon_gone(tables: Tables) -> Tables:
    lines = tables["transactions"]
    return {**tables, "transactions": lines[(weeks(tables) < 8) | (lines["customer_id"] == "0000")]}


def every_week_the_same(tables: Tables) -> Tables:
    """Everybody visits every week with the same basket of the one product, and nobody was ever contacted."""
    lines = tables["transactions"]
    grid = pd.MultiIndex.from_product([lines["customer_id"].unique(), sorted(lines["date"].unique())])
    same = grid.to_frame(index=False, name=["customer_id", "date"])
    basket = [f"b{row}" for row in range(len(same))]
    return {"transactions": same.assign(basket_id=basket, product_id="p00", spend=10.0)}


def odd_words_and_an_outlier(tables: Tables) -> Tables:
    """Odd ids and names, an offer that no catalog has, a campaign nobody redeems, and a basket of a million."""
    odd = {
        name: table.assign(customer_id='=1+1 "Bob", <b>Ł' + table["customer_id"]) if "customer_id" in table else table
        for name, table in tables.items()
    }
    lines, redemptions = odd["transactions"].copy(), odd["redemptions"]
    lines.loc[len(lines) // 2, "spend"] = 1e6
    products = odd["products"].assign(department=odd["products"]["department"].map(ODD))
    campaigns = odd["campaigns"].assign(offer="old_9")
    unredeemed = redemptions[redemptions["campaign_id"] != "k3"]
    return {**odd, "transactions": lines, "products": products, "campaigns": campaigns, "redemptions": unredeemed}


def write_changed(mapping: Path, folder: Path, change: Callable[[Tables], Tables]) -> Path:
    """Write the fabricated shop with a change; return the mapping's path."""
    tables = {path.stem: pd.read_csv(path, dtype={"customer_id": "str"}) for path in mapping.parent.glob("*.csv")}
    folder.mkdir()
    written: dict[str, object] = {"currency": "USD"}
    for name, table in change(tables).items():
        table.to_csv(folder / f"{name}.csv", index=False)
        written[name] = {"file": f"{name}.csv", "columns": {column: column for column in table.columns}}
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(written), "utf-8")
    return path


def report_of(configure: Configure, runs: Path, *more: str) -> str:
    """Fit, train, judge and publish a prepared run; return what its report says, without pictures and data."""
    config = configure(runs, *KNAPSACK, *more)
    run_fit(config)
    run_train(config)
    run_evaluate(config)
    run_export(config)
    page = (runs / "tiny" / "report.html").read_text("utf-8")
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (too_short, "18 full weeks are too few"),
        (no_money, "customer-weeks with spend"),
        (three_customers, "each needs at least 50"),
        (soon_gone, "customer-weeks with a visit"),
    ],
)
def test_a_shop_with_too_little_is_refused_in_one_line(
    change: Callable[[Tables], Tables], words: str, mapping: Path, overrides: Overrides, refuse: Refuse, tmp_path: Path
) -> None:
    changed = write_changed(mapping, tmp_path / "shop", change)
    said = refuse("run", *overrides(tmp_path, f"source.mapping={changed}"))
    assert said.startswith("error: history: ")
    assert words in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (every_week_the_same, "assumed, the history has no campaign"),
        (odd_words_and_an_outlier, "The log names offers that the catalog does not have: “old_9”"),
    ],
)
def test_an_odd_shop_gets_a_report_that_says_what_is_not_known(
    change: Callable[[Tables], Tables], words: str, mapping: Path, configure: Configure, tmp_path: Path
) -> None:
    changed = write_changed(mapping, tmp_path / "shop", change)
    source = f"source.mapping={changed}"
    run_prepare(configure(tmp_path, source))
    said = report_of(configure, tmp_path, source)
    assert words in said
    assert not re.findall(NOTHING_SHOWN, said)
    assert "<b>" not in said


@pytest.fixture(scope="module")
def with_pauses(mapping: Path, configure: Configure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the prepared shop, with customers who pause before the validation or the test weeks and so are lapsing."""
    runs = tmp_path_factory.mktemp("pauses")

    def pausing(tables: Tables) -> Tables:
        lines = tables["transactions"]
        number, week = lines["customer_id"].astype("int64"), weeks(tables)
        away = ((number % 3 == 0) & week.between(24, 28)) | ((number % 4 == 1) & week.between(31, 34))
        return {**tables, "transactions": lines[~away]}

    run_prepare(configure(runs, f"source.mapping={write_changed(mapping, runs / 'shop', pausing)}"))
    return runs


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_ends_with_a_report(
    scenario: str, with_pauses: Path, configure: Configure, tmp_path: Path
) -> None:
    shutil.copytree(with_pauses / "tiny" / "prepare", tmp_path / "tiny" / "prepare")
    source = f"source.mapping={with_pauses / 'shop' / 'shop.yaml'}"
    said = report_of(configure, tmp_path, source, f"scenario={scenario}")
    assert "What the policy does for whom" in said
    assert not re.findall(NOTHING_SHOWN, said)
