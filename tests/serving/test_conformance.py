"""Whoever answers, by HTTP, Python, SQL, pandas or polars, answers the same: `conformance/decisions.json`.

OFFERSMITH_REGENERATE=1 python -m pytest tests/serving/test_conformance.py writes it anew.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import apsw
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

from serving.online.clock import Clock
from serving.online.decider import Decider
from serving.online.service import Settings
from serving.online.tables import read_manifest
from serving.publishing import publish
from serving.table import PolicyTable
from tests.serving.parted import export_in_parts
from tests.serving.served import serving

ROOT: Final = Path(__file__).parents[2]
FILE: Final = ROOT / "conformance" / "decisions.json"
BLOCK: Final = re.compile(r"^```(sql|python pandas|python polars)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIELDS: Final = ("reason", "offer", "promoted_category", "arm", "pscore")
FIRST: Final = date(2018, 1, 1)
EDGES: Final = (
    "0", "00", "1", "01", "1.0", "1e3", "-1", "+1", "NULL", "null", "None", "nan", "NaN", "inf", "true", "none",
    "=cmd()", "+SUM(A1)", "-2+3", "@x", "'quoted'", '"quoted"', "''", "' OR 1=1 --", "a;b", "a,b", "a\\b", "a/b",
    "../x", "%2F", "%00", "a b", " a", "a ", "A", "a", "Zoë", "Zoe\u0308", "ß", "SS", "İ", "i", "中文", "客户 1", "😀",
    "\u200bzero", "\u202ertl", "ﬁ", "fi", "Ω", "Ω", "x" * 128, "é" * 64, "a?b=c", "a#b", "a&b", "[x]", "{x}", "$1",
    "?1", ":x", "<script>", "&amp;", "*", "_", "~", "\ufeffbom", "\ufffd", "\U0010ffff", "٣", "१",
)  # fmt: skip
STRANGERS: Final = (
    "nobody", "000", "0.0", "2", "NUL", "Null", "NONE", "=CMD()", "a/B", "A ", "zoë", "ZOË", "ss", "I", "ı", "中", "😁",
    "x" * 127, "é" * 63, "a%2Fb", "Ｎ", "0 ", " 0", "policy", "customer_id", "%", "__", "**", "٤",
)  # fmt: skip


def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))["cases"]
    return found


@pytest.fixture(scope="module")
def table(build: Callable[..., PolicyTable]) -> PolicyTable:
    """300 customers with ids that trip programs, whose offers begin and end on different days."""
    ids = sorted({*EDGES, *(f"c{i:03d}" for i in range(300 - len(set(EDGES))))})
    day, plain = np.arange(300), build().customers
    begins = plain["valid_from"] + pd.to_timedelta(day % 3, unit="D")
    ends = plain["valid_from"] + pd.to_timedelta(2 + day % 7, unit="D")
    return build(customer_id=ids, valid_from=begins, valid_to=ends.clip(lower=begins))


@pytest.fixture(scope="module", params=["one file", "parts"])
def folder(request: pytest.FixtureRequest, table: PolicyTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("conformance") / "policy"
    if request.param == "parts":
        return export_in_parts(table, path, cuts=(1, 90, 211))
    publish(table, path)
    if os.environ.get("OFFERSMITH_REGENERATE"):
        write(table, read_manifest(path))
    return path


def write(table: PolicyTable, manifest: dict[str, Any]) -> None:
    """Write the cases, by the plain words of docs/serving.md and no code of ours."""
    first, last = manifest["valid_from"], manifest["not_after"]
    rows = table.customers.assign(
        **{name: table.customers[name].dt.strftime("%Y-%m-%d") for name in ("valid_from", "valid_to")}
    )
    named = rows[["customer_id", *FIELDS[1:], "valid_from", "valid_to"]].to_dict("records")
    known = {row["customer_id"]: row for row in named}
    asked = [*EDGES, *STRANGERS, *(row["customer_id"] for row in named if row["customer_id"].startswith("c0"))]
    found = []
    for day in [str(FIRST + timedelta(days=days)) for days in (-1, 0, 1, 2, 4, 6, 7, 8)]:
        for customer in dict.fromkeys(asked):
            row = known.get(customer)
            if day > last or (day >= first and row is not None and day > row["valid_to"]):
                answer = {"reason": "stale"}
            elif row is None or day < first or day < row["valid_from"]:
                answer = {"reason": "default"}
            else:
                answer = {"reason": "match", **{name: row[name] for name in FIELDS[1:]}}
            nothing = {"offer": "none", "promoted_category": "", "arm": "", "pscore": 1.0}
            found.append({"today": day, "customer": customer, "expect": nothing | answer})
    FILE.parent.mkdir(exist_ok=True)
    content = {"format": 1, "valid_from": first, "not_after": last, "table": named, "cases": found}
    FILE.write_text(json.dumps(content, ensure_ascii=False, indent=None).replace("}, {", "},\n{") + "\n", "utf-8")


def by_day() -> Iterator[tuple[date, list[str], list[tuple[Any, ...]]]]:
    """Yield each day, the customers who are asked for, and what they get."""
    found = cases()
    for day in sorted({case["today"] for case in found}):
        mine = [case for case in found if case["today"] == day]
        wanted = [tuple(case["expect"][name] for name in FIELDS) for case in mine]
        yield date.fromisoformat(day), [case["customer"] for case in mine], wanted


def documented(kind: str) -> str:
    return next(text for name, text in BLOCK.findall((ROOT / "docs" / "serving.md").read_text("utf-8")) if name == kind)


def terms(folder: Path) -> tuple[date, date]:
    manifest = read_manifest(folder)
    return date.fromisoformat(manifest["valid_from"]), date.fromisoformat(manifest["not_after"])


def check(answer: Callable[[date, Sequence[str]], Sequence[tuple[Any, ...]]]) -> None:
    for day, customers, wanted in by_day():
        for customer, given, expected in zip(customers, answer(day, customers), wanted, strict=True):
            assert given == expected, (day, customer)


def test_there_are_enough_cases_of_every_kind(folder: Path) -> None:
    found = cases()
    assert len(found) >= 400
    for reason in ("match", "default", "stale"):
        assert sum(case["expect"]["reason"] == reason for case in found) >= 50
    assert len({case["customer"] for case in found if not case["customer"].isascii()}) >= 15


def test_the_cases_are_of_the_table_that_the_tests_build(folder: Path, table: PolicyTable) -> None:
    rows = json.loads(FILE.read_text("utf-8"))["table"]
    named = ["customer_id", *FIELDS[1:]]
    assert [tuple(row[name] for name in named) for row in rows] == [
        *table.customers[named].itertuples(index=False, name=None)
    ]


def test_python_passes(folder: Path) -> None:
    def answer(day: date, customers: Sequence[str]) -> list[tuple[Any, ...]]:
        decider = Decider.of(folder, Clock(day))
        return [tuple(getattr(decider.decide(customer), name) for name in FIELDS) for customer in customers]

    check(answer)


def test_duckdb_passes(folder: Path) -> None:
    first, last = terms(folder)
    connection = duckdb.connect()
    connection.execute(f"CREATE VIEW policy AS FROM '{folder}/policy_by_customer*.parquet'")

    def answer(day: date, customers: Sequence[str]) -> list[tuple[Any, ...]]:
        connection.register("customers", pd.DataFrame({"customer_id": customers}))
        found = connection.execute(documented("sql"), {"today": day, "first": first, "last": last}).fetchall()
        mine = {row[0]: row[1:] for row in found}
        return [mine[customer] for customer in customers]

    check(answer)


def test_sqlite_passes(folder: Path) -> None:
    first, last = terms(folder)
    connection = apsw.Connection(
        f"file:{folder}/policy.sqlite?mode=ro&immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    )
    connection.execute("PRAGMA temp_store = MEMORY")
    query = documented("sql").replace("policy AS p", "decisions AS p")

    def answer(day: date, customers: Sequence[str]) -> list[tuple[Any, ...]]:
        connection.execute("CREATE TEMP TABLE customers (customer_id TEXT)")
        connection.executemany("INSERT INTO customers VALUES (?)", [(customer,) for customer in customers])
        given = {"today": str(day), "first": str(first), "last": str(last)}
        mine = {row[0]: row[1:] for row in connection.execute(query, given)}
        connection.execute("DROP TABLE temp.customers")
        return [mine[customer] for customer in customers]

    check(answer)


def test_pandas_passes(folder: Path) -> None:
    space: dict[str, Any] = {}
    exec(documented("python pandas"), space)
    files = sorted(folder.glob("policy_by_customer*.parquet"))
    policy = pd.concat([pd.read_parquet(path) for path in files], ignore_index=True).astype(
        dict.fromkeys(("valid_from", "valid_to"), "datetime64[us]")
    )
    first, last = map(pd.Timestamp, terms(folder))

    def answer(day: date, customers: Sequence[str]) -> list[tuple[Any, ...]]:
        found = space["decide"](pd.DataFrame({"customer_id": customers}), policy, pd.Timestamp(day), first, last)
        return [*found[list(FIELDS)].itertuples(index=False, name=None)]

    check(answer)


def test_polars_passes(folder: Path) -> None:
    space: dict[str, Any] = {}
    exec(documented("python polars"), space)
    policy = pl.read_parquet(folder / "policy_by_customer*.parquet")
    first, last = terms(folder)

    def answer(day: date, customers: Sequence[str]) -> list[tuple[Any, ...]]:
        return space["decide"](pl.DataFrame({"customer_id": customers}), policy, day, first, last).select(FIELDS).rows()

    check(answer)


@pytest.mark.slow
def test_http_passes(folder: Path, tmp_path: Path) -> None:
    for number, (day, customers, wanted) in enumerate(by_day()):
        with serving(Settings(tmp_path / str(number), folder=folder, today=day)) as served:
            status, many = served.client.post("/v1/decisions", {"customers": customers})
            assert status == 200
            single = [served.client.get(f"/v1/decisions/{quote(name, safe='')}")[1] for name in customers]
        for customer, one, other, expected in zip(customers, many["decisions"], single, wanted, strict=True):
            for made in (one, other):
                assert tuple(made[name] for name in FIELDS) == expected, (day, customer)
