"""A customer's page says what would change the offer, in the reader's language, or that it was not computed."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from serving.explanations import EXPLANATIONS, write_explanations
from serving.online.service import Service, Settings
from serving.online.tables import read_manifest
from serving.pages.explained import explained as explain
from serving.pages.explained import number_in_words
from serving.pages.language import LANGUAGES, language
from serving.pages.person import Desk, Person
from serving.release import Release
from serving.table import PolicyTable
from tests.serving.pages.conftest import visiting
from tests.serving.served import DAY
from tests.serving.signing import export
from tests.serving.test_explanations import rows_for


@pytest.fixture(scope="module")
def explained(build: Callable[..., PolicyTable]) -> PolicyTable:
    table = build()
    return replace(table, explanations=rows_for(table))


@pytest.fixture(scope="module")
def folder(explained: PolicyTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(explained, tmp_path_factory.mktemp("explained") / "policy")


@pytest.fixture(scope="module")
def person(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Person:
    service = Service(Settings(tmp_path_factory.mktemp("state") / "state", folder=folder, today=DAY), {})
    found, _ = Desk(service).find("0000", language("en"))
    service.close()
    assert found is not None
    return found


@pytest.fixture
def show(explained: PolicyTable, folder: Path, person: Person, tmp_path: Path) -> Callable[..., str]:
    """Return a function that says what the first customer is told, with what is known of them replaced."""

    def page(language_code: str = "en", of_person: dict[str, str] | None = None, **told: Any) -> str:
        rows = explained.explanations
        assert rows is not None
        rows = rows.copy()
        for name, value in told.items():
            rows.loc[0, name] = pd.NA if value is None else value
        path = tmp_path / EXPLANATIONS
        path.unlink(missing_ok=True)
        write_explanations(path, rows, 3)
        release = Release(person.version, tmp_path, read_manifest(folder))
        who = replace(person, **(of_person or {}))
        found = explain(release, who, "0000", lambda of, name: of.folder / name, language(language_code))
        assert not found.problem
        return "\n".join([found.why, *(f"{one.name} {one.points}" for one in found.moved), *found.changes])

    return page


def ask(folder: Path, state: Path, code: str) -> str:
    with visiting(Settings(state, folder=folder, today=DAY)) as one:
        return str(one.log_in().get(f"/customers?q=0000&lang={code}").text)


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_page_shows_it_in_both_languages(folder: Path, tmp_path: Path, code: str) -> None:
    text, words = ask(folder, tmp_path / "state", code), language(code)
    for key in ("title", "changes", "moved", "group", "by", "not_tried"):
        assert words(f"explained.{key}") in text, key
    assert words("driver.value") in text and text.count('class="bar') >= 2 and "explained." not in text


def test_drivers_and_changes_are_said_in_words(show: Callable[..., str]) -> None:
    text = show()
    for part in (
        "with a chance of 80 % (for typical customers 40 % on average)",
        "Spend and basket",
        "+30 (± 4)",
        "−10 (± 2)",
        "Budget: at 0.030 USD per customer and week it would be: no offer.",
        "Rules: with a visit less than 4 weeks ago, all else the same, they would give: no offer.",
        "Policy: with “Contacts in 8 weeks” at 2, all else the same, it would favour: gift with a basket of 30 USD.",
    ):
        assert part in text, part


def test_the_same_is_said_in_chinese(show: Callable[..., str]) -> None:
    text = show("zh")
    for part in (
        "消费与客单价",
        "+30（± 4）",
        "预算：若为每位顾客每周 0.030 美元",
        "距上次到店的周数",
        "“8 周内触达次数”为 2",
    ):
        assert part in text, part
    assert "Rules:" not in text


def test_what_bound_is_said_to_end_where_that_is_known(show: Callable[..., str]) -> None:
    bound = {"bound": "contact_cap"}
    assert "Time: in 2 weeks the contact cap no longer binds, if nothing is sent until then." in show(of_person=bound)
    assert "in 1 week the contact cap" in show(of_person=bound, ends_in_weeks=1)
    text = show(of_person={"bound": "margin_floor"}, ends_in_weeks=None)
    assert "margin floor of the basket. When that ends cannot be told." in text


def test_whoever_was_drawn_is_told_that_the_lot_decided(show: Callable[..., str]) -> None:
    assert "The next table: this offer was drawn by lot" in show(of_person={"bound": "draw"})


def test_where_no_change_is_known_that_is_said(show: Callable[..., str]) -> None:
    none = {"driver_1": "", "part_1": None, "error_1": None, "driver_2": "", "part_2": None, "error_2": None}
    none |= {"rule_feature": "", "rule_offer": "", "policy_feature": "", "policy_value": None, "policy_offer": ""}
    text = show(budget_step=None, budget_offer="", **none)
    for part in (
        "Budget: a fifth of it would still bring this customer the same offer.",
        "Rules: no change of a single number within what was observed gives another offer.",
        "Policy: no change of a single number that was tried makes it favour another offer.",
    ):
        assert part in text, part
    assert text.count("\n") == 3  # and nothing moves the chance
    assert "up to twice as much brings" in show(of_person={"bound": "price"}, budget_step=None, budget_offer="")


def test_what_moves_slowly_or_not_at_all_is_named_so(show: Callable[..., str]) -> None:
    assert "moves slowly" in show(rule_feature="spend_per_week_usd") and "moves slowly" not in show()
    assert "That does not change within a campaign." in show(rule_feature="promoted_share", rule_below=0.5)


def test_a_table_without_explanations_says_so(explained: PolicyTable, tmp_path: Path) -> None:
    export(replace(explained, explanations=None), tmp_path / "policy")
    text = ask(tmp_path / "policy", tmp_path / "state", "en")
    assert "Not computed for this table." in text and "What would change the offer" not in text


def test_a_file_that_was_changed_is_not_shown_and_the_page_stays(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "policy")
    with (tmp_path / "policy" / EXPLANATIONS).open("r+b") as file:
        file.seek(200)
        file.write(b"\1")
    text = ask(tmp_path / "policy", tmp_path / "state", "en")
    assert "not those that were published" in text and "Rules: with" not in text and "Expected gain" in text


def test_an_explanation_of_another_version_is_not_shown(folder: Path, person: Person) -> None:
    release = Release(person.version + 1, folder, read_manifest(folder))
    found = explain(release, person, "0000", lambda of, name: of.folder / name, language("en"))
    assert found.problem == "Not computed for this table."
    assert explain(None, person, "0000", lambda of, name: of.folder / name, language("en")).problem == found.problem


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize(
    ("feature", "value", "says"),
    [
        ("visit_rate_13w", 0.25, ("25 %", "25%")),
        ("spend_1w", 120.0, ("120 EUR", "120 欧元")),
        ("spend_per_active_week", 0.5, ("0.5 EUR", "0.5 欧元")),
        ("weeks_since_redemption", 5.0, ("5", "5")),
        ("promo_share", 0.035, ("3.5 %", "3.5%")),
        ("basket_rate", 1.2, ("1.2", "1.2")),
    ],
)
def test_every_number_of_the_policy_has_a_name_and_its_unit(
    code: str, feature: str, value: float, says: tuple[str, str]
) -> None:
    name, text = number_in_words(feature, value, "EUR", language(code))
    assert name != feature and text in says
