"""A file, a column or a key that is not what the mapping says is one line that names it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from campaigns.errors import InputError
from history.prepare import load_prepared, prepare
from history.sources import CompleteJourney, Tables
from tests.history.tiny_shop import Shop


def edit(shop: Shop, change: Callable[[str], str]) -> Tables:
    source = shop.write()
    path = Path(source.mapping)
    path.write_text(change(path.read_text("utf-8")), "utf-8")
    return source


def complaint(source: Tables, out: Path) -> str:
    with pytest.raises(InputError) as error:
        prepare(source, out)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("transactions:", "transaktions:", "has the unknown key 'transaktions'"),
        ("spend: paid", "spent: paid", "has the unknown key 'spent'; expected one of customer_id"),
        ("file: products.csv", "path: products.csv", "table 'products' is"),
        ("file: products.csv", "file: products.xlsx", "expected a name that ends in .parquet or .csv"),
        ("file: products.csv", "file: goods.csv", "goods.csv: no such file, mapped as table 'products'"),
        ("spend: paid", "spend: price", "has no column 'price', mapped to spend; found customer, basket"),
        ("spend: paid", "spend: product", "column 'product', mapped to spend, holds string such as 'milk'"),
        ("    spend: paid\n", "", "maps no column 'spend'; expected a number"),
        ("    date: date\n    product_id", "    product_id", "maps none of date, week; expected at least one"),
        ("spend: paid", "spend: 7", "expected `our name: their name`"),
        ("transactions:", "currency: dollars\ntransactions:", "currency is 'dollars'"),
        ("transactions:", "week_origin: soon\ntransactions:", "week_origin is 'soon'; expected a date"),
        ("  file: products.csv", "  time_zone: Mars\n  file: products.csv", "time_zone 'Mars'"),
        ("    end_date: end\n", "", "table 'campaigns' lacks start_date or end_date"),
        ("campaigns:", "[campaigns:", "not readable as YAML"),
    ],
)
def test_a_mistaken_mapping_is_one_line(shop: Shop, old: str, new: str, expected: str) -> None:
    source = edit(shop, lambda text: text.replace(old, new, 1))
    assert expected in complaint(source, shop.out)


def test_a_missing_mapping_is_named(tmp_path: Path) -> None:
    assert "none.yaml: no such file" in complaint(Tables(str(tmp_path / "none.yaml")), tmp_path)


def test_a_mapping_is_a_yaml_file() -> None:
    with pytest.raises(InputError, match="expected the path of a YAML file"):
        Tables(mapping="mapping.json")


def test_a_wrong_delimiter_shows_the_columns_found(shop: Shop) -> None:
    source = edit(shop, lambda text: text)
    path = shop.folder / "transactions.csv"
    path.write_text(path.read_text().replace(",", "^"))
    message = complaint(source, shop.out)
    assert "transactions.csv: table 'transactions' has no column 'basket', mapped to basket_id" in message
    assert "found customer^basket^" in message and "set `delimiter:`" in message


def test_a_stated_delimiter_is_used(shop: Shop) -> None:
    source = edit(
        shop, lambda text: text.replace("  file: transactions.csv", "  delimiter: ^\n  file: transactions.csv")
    )
    path = shop.folder / "transactions.csv"
    path.write_text(path.read_text().replace(",", "^"))
    assert prepare(source, shop.out).events.n == 3


def test_dates_are_read_in_the_stated_format(shop: Shop) -> None:
    shop.keep("transactions").rows["transactions"] = ["a,1,milk,s1,31.12.2017,1,1,0,0"]
    source = edit(shop, lambda text: text.replace("  file:", "  date_format: '%d.%m.%Y'\n  file:"))
    assert prepare(source, shop.out).quality.week_origin == "2017-12-25"


def test_text_that_is_not_utf8_is_named_by_line(shop: Shop) -> None:
    source = shop.write()
    with (shop.folder / "transactions.csv").open("ab") as file:
        file.write(b"b,9,k\xe4se,s1,2017-01-05,1,1,0,0\n")
    assert "line 7 is not UTF-8" in complaint(source, shop.out)


def test_an_empty_file_is_named(shop: Shop) -> None:
    source = shop.write()
    (shop.folder / "transactions.csv").write_text("")
    assert "transactions.csv" in complaint(source, shop.out)


def test_a_table_without_rows_is_refused(shop: Shop) -> None:
    shop.keep("transactions").rows["transactions"] = []
    assert "table 'transactions' has no good row" in complaint(shop.write(), shop.out)


def test_a_stray_date_that_makes_the_history_endless_is_refused(shop: Shop) -> None:
    shop.rows["transactions"].append("b,9,milk,s2,2071-01-05,1,1,0,0")
    assert "set first_date and last_date" in complaint(shop.write(), shop.out)
    shop.extra = {"last_date": pd.Timestamp("2018-01-01").date()}
    quality = prepare(shop.write(), shop.out, max_rejected_share=0.5).quality
    assert quality.tables["transactions"].reasons == {"date is outside 1990-01-01..2018-01-01": 1}


def parquet(shop: Shop, **changed: Any) -> Tables:
    """Write the tiny shop's transactions as Parquet, some columns changed."""
    source = edit(shop.keep("transactions"), lambda text: text.replace(".csv", ".parquet"))
    table = pd.read_csv(shop.folder / "transactions.csv", dtype={"customer": str})
    table["date"] = pd.to_datetime(table["date"], format="ISO8601")
    table.assign(**changed).to_parquet(shop.folder / "transactions.parquet")
    return source


def test_parquet_gives_the_same_events_as_csv(shop: Shop) -> None:
    csv = shop.keep("transactions").prepare().events
    events = prepare(parquet(shop), shop.out).events
    assert events.customer_ids == csv.customer_ids
    assert (events.spend == csv.spend).all() and (events.baskets == csv.baskets).all()


def test_whole_number_ids_are_kept_as_text(shop: Shop) -> None:
    assert prepare(parquet(shop, customer=[10, 10, 10, 9, 9]), shop.out).events.customer_ids == ("10", "9")


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("paid", "1.10", "column 'paid', mapped to spend, holds string such as '1.10'; expected a number"),
        ("customer", 1.5, "column 'customer', mapped to customer_id, holds double such as '1.5'; expected an id"),
        ("date", 20170102, "column 'date', mapped to date, holds int64 such as '20170102'; expected a date"),
    ],
)
def test_a_parquet_column_of_the_wrong_type_is_named(shop: Shop, column: str, value: object, expected: str) -> None:
    assert expected in complaint(parquet(shop, **{column: value}), shop.out)


def test_a_truncated_parquet_file_is_named(shop: Shop) -> None:
    source = parquet(shop)
    path = shop.folder / "transactions.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    assert "transactions.parquet: table 'transactions' is not readable as Parquet" in complaint(source, shop.out)


def test_missing_values_of_a_needed_parquet_column_are_set_aside(shop: Shop) -> None:
    source = parquet(shop, paid=[1.0, None, float("inf"), 1.0, 1.0])
    quality = prepare(source, shop.out, max_rejected_share=0.5).quality.tables["transactions"]
    assert quality.reasons == {"spend is missing": 1, "spend is not finite": 1}


def test_complete_journey_is_a_mapping_like_any_other() -> None:
    mapping = CompleteJourney().build()
    assert mapping.tables["transactions"].path.is_file()
    assert mapping.tables["transactions"].columns["spend"] == "sales_value"


def test_a_folder_that_was_not_prepared_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run the step that writes it first"):
        load_prepared(tmp_path)
