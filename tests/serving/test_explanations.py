"""What is told of a customer is stored beside the table, checked like the table, and may be missing."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pandas as pd
import pytest

from campaigns.errors import InputError
from evaluation.explaining.players import PLAYERS
from history.artifacts import hash_file
from serving.explanations import (
    COLUMNS,
    DRIVERS,
    EXPLANATIONS,
    Change,
    Driver,
    read_explanations,
    read_one,
    typed,
    write_explanations,
)
from serving.publishing import FILES, publish, read_policy
from serving.table import PolicyTable
from tests.serving.signing import ANA, export, open_store

NOTHING = {
    "chance": 1.0, "typical": 0.4, "rule_feature": "", "rule_offer": "", "policy_feature": "", "policy_offer": "",
    "budget_offer": "", **{f"driver_{i}": "" for i in (1, 2, 3)},
}  # fmt: skip
FIRST = {
    "chance": 0.8, "driver_1": "value", "part_1": 0.3, "error_1": 0.02, "driver_2": "taste", "part_2": -0.1,
    "error_2": 0.01, "rule_feature": "weeks_since_visit", "rule_below": 4.0, "rule_offer": "none",
    "policy_feature": "contacts_8w", "policy_value": 2.0, "policy_offer": "gift", "budget_step": 3,
    "budget_offer": "none", "ends_in_weeks": 2,
}  # fmt: skip


def rows_for(table: PolicyTable) -> pd.DataFrame:
    rows = pd.DataFrame(
        {name: pd.Series([None] * len(table.customers), dtype="object") for name in COLUMNS}
    ).assign(**NOTHING, customer_id=table.customers["customer_id"], favoured=table.customers["offer"])  # fmt: skip
    for name, value in FIRST.items():
        rows[name] = rows[name].astype(object)
        rows.loc[0, name] = value
    return typed(rows)


@pytest.fixture(scope="module")
def explained(build: Callable[..., PolicyTable]) -> PolicyTable:
    table = build()
    return replace(table, explanations=rows_for(table))


@pytest.fixture(scope="module")
def folder(explained: PolicyTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explained") / "policy"
    publish(explained, path)
    return path


def test_what_was_written_is_read_back_exactly(explained: PolicyTable, folder: Path) -> None:
    again = read_policy(folder)
    assert again.explanations is not None and explained.explanations is not None
    pd.testing.assert_frame_equal(again.explanations, explained.explanations)
    assert json.loads((folder / "manifest.json").read_text())["files"][EXPLANATIONS] == hash_file(folder / EXPLANATIONS)


def test_one_customer_is_read_in_plain_terms(folder: Path) -> None:
    first = read_one(folder / EXPLANATIONS, "0000")
    assert first is not None
    assert first.drivers == (Driver("value", 0.3, 0.02), Driver("taste", -0.1, 0.01))
    assert first.by_rules == Change("weeks_since_visit", None, 4.0, "none")
    assert first.by_policy == Change("contacts_8w", 2.0, 2.0, "gift")
    assert (first.budget, first.ends_in_weeks) == ((3, "none"), 2)
    other = read_one(folder / EXPLANATIONS, "0001")
    assert other is not None and (other.drivers, other.by_rules, other.by_policy, other.budget) == (
        (),
        None,
        None,
        None,
    )
    assert read_one(folder / EXPLANATIONS, "nobody") is None


def test_the_same_rows_give_the_same_bytes(explained: PolicyTable, folder: Path, tmp_path: Path) -> None:
    publish(explained, tmp_path / "policy")
    assert (tmp_path / "policy" / EXPLANATIONS).read_bytes() == (folder / EXPLANATIONS).read_bytes()


def test_a_table_without_explanations_is_published_and_read_as_before(
    build: Callable[..., PolicyTable], tmp_path: Path
) -> None:
    publish(build(), tmp_path / "policy")
    assert read_policy(tmp_path / "policy").explanations is None
    assert {path.name for path in (tmp_path / "policy").iterdir()} == {*FILES, "manifest.json"}


def test_a_file_that_was_changed_or_is_missing_refuses_the_folder(explained: PolicyTable, tmp_path: Path) -> None:
    publish(explained, tmp_path / "policy")
    path = tmp_path / "policy" / EXPLANATIONS
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    with pytest.raises(InputError, match="not those that were published"):
        read_policy(tmp_path / "policy")
    path.unlink()
    with pytest.raises(InputError, match=r"explanations\.sqlite: no such file"):
        read_policy(tmp_path / "policy")


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("favoured", "coupon_9", "favoured of customer '0000' is 'coupon_9'"),
        ("driver_1", "stars", "expected one of rhythm"),
        ("rule_offer", "coupon_9", "rule_offer"),
        ("chance", 1.2, "expected a chance"),
        ("typical", None, "expected a chance"),
        ("budget_step", 11, "expected 1 to 10"),
        ("budget_step", None, "expected a number where budget_offer is told"),
        ("policy_value", None, "expected a number where policy_feature is told"),
        ("part_1", None, "expected a number where driver_1 is told"),
        ("ends_in_weeks", 0, "expected 1 week or more"),
        ("customer_id", "9999", "not those of the table"),
    ],
)
def test_what_cannot_be_is_refused_by_customer_column_and_value(
    explained: PolicyTable, column: str, value: Any, says: str
) -> None:
    rows = explained.explanations
    assert rows is not None
    wrong = rows.copy()
    wrong.loc[0, column] = value
    with pytest.raises(InputError, match=says):
        replace(explained, explanations=wrong)


def test_missing_columns_and_other_customers_are_refused(explained: PolicyTable) -> None:
    rows = explained.explanations
    assert rows is not None
    with pytest.raises(InputError, match="columns are"):
        replace(explained, explanations=rows.drop(columns="chance"))
    with pytest.raises(InputError, match="not those of the table"):
        replace(explained, explanations=rows.iloc[1:])


def test_what_is_no_such_file_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="not readable as SQLite"):
        read_one(tmp_path / "nothing.sqlite", "0001")
    (tmp_path / "text.sqlite").write_text("no database, whatever its name says, and long enough to be looked at")
    for path in (tmp_path / "text.sqlite", folder / "policy.sqlite"):
        with pytest.raises(InputError, match=r"not readable as SQLite|holds no explanations"):
            read_explanations(path)
    connection = apsw.Connection(str(tmp_path / "empty.sqlite"))
    connection.execute(f"PRAGMA application_id = {0x0FF35318}")
    connection.close()
    for read in (read_explanations, lambda path: read_one(path, "0001")):
        with pytest.raises(InputError, match="not readable as explanations"):
            read(tmp_path / "empty.sqlite")


def test_serving_and_evaluation_name_the_same_groups() -> None:
    assert tuple(one.value for one in PLAYERS) == DRIVERS


def test_ids_that_trip_programs_come_through(tmp_path: Path, build: Callable[..., PolicyTable]) -> None:
    table = build()
    ids = sorted(["' OR 1=1 --", "Zoë", "中文", "=cmd()", *(f"c{i}" for i in range(296))])
    rows = rows_for(table).assign(customer_id=pd.Series(ids, dtype="str"))
    write_explanations(tmp_path / EXPLANATIONS, rows, 3)
    assert read_explanations(tmp_path / EXPLANATIONS)["customer_id"].tolist() == ids
    assert all(read_one(tmp_path / EXPLANATIONS, one) is not None for one in ids[:5])


def test_a_signed_version_has_them_too_and_is_refused_once_they_are_changed(
    explained: PolicyTable, tmp_path: Path
) -> None:
    store = open_store(tmp_path)
    release = store.publish(export(explained, tmp_path / "policy"), ANA)
    assert read_one(release.folder / EXPLANATIONS, "0000") is not None and store.current().version == 1
    release.folder.chmod(0o755)
    (release.folder / EXPLANATIONS).chmod(0o644)
    with (release.folder / EXPLANATIONS).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InputError, match=r"explanations\.sqlite: its bytes are not those that were signed"):
        open_store(tmp_path).current()
