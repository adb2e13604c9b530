"""Every file of a published table says the same, cell by cell, and none of them runs."""

import json
import re
import subprocess
import sys
import threading
import zipfile

import apsw
import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.errors import InputError
from history.artifacts import hash_file
from serving.headings import headings, rule_headings
from serving.lookup import Lookup
from serving.publishing import publish, read_policy
from serving.spreadsheet import unescape
from serving.table import DATE_COLUMNS, TEXT_COLUMNS
from serving.workbook import write_workbook
from tests.serving.test_publishing import HARMLESS, TEXT, TRAPS, read_csv


def typed(rows, like):
    """Return rows of plain cells with the types of the exact table."""
    text = dict.fromkeys(TEXT_COLUMNS, "str") | dict.fromkeys(DATE_COLUMNS, "datetime64[us]")
    return rows[list(like.columns)].astype(text).astype({name: like[name].dtype for name in like.columns})


def read_spreadsheet(folder, catalog):
    names = {words: name for name, words in headings(catalog).items()}
    kinds = {words: "str" for words, name in names.items() if name in TEXT_COLUMNS}
    rows = pd.read_csv(folder / "policy_by_customer_spreadsheet.csv", dtype=kinds, keep_default_na=False)
    rows = rows.rename(columns=names)
    return rows.assign(**{name: unescape(rows[name]) for name in TEXT_COLUMNS})


def plain_text(cell):
    """Return the text that a workbook means: what XML cannot hold stands there as _xHHHH_."""
    return re.sub("_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), cell or "")


def read_workbook(folder, catalog):
    sheet = openpyxl.load_workbook(folder / "policy.xlsx")["Customers"]
    names = list(headings(catalog))
    cells = [dict(zip(names, row, strict=True)) for row in sheet.iter_rows(min_row=2, values_only=True)]
    rows = pd.DataFrame(cells)
    return rows.assign(**{name: rows[name].map(plain_text) for name in TEXT_COLUMNS})


def read_lookup(folder):
    return pd.DataFrame(list(Lookup.of(folder)))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT.filter(str.strip) | st.sampled_from(TRAPS + HARMLESS))
def test_all_files_say_the_same(build, catalog, tmp_path, text):
    names = pd.Series([f"{text}{i}" for i in range(300)], dtype="str")
    folder = tmp_path / "policy"
    publish(build(customer_id=names, reason=text), folder)
    exact = read_policy(folder).customers
    pd.testing.assert_frame_equal(read_csv(folder / "policy_by_customer.csv"), exact, check_exact=True)
    for rows in (read_spreadsheet(folder, catalog), read_workbook(folder, catalog)):
        pd.testing.assert_frame_equal(typed(rows, exact), exact, check_exact=True)
    found = typed(read_lookup(folder), exact).set_index("customer_id").loc[exact["customer_id"]].reset_index()
    pd.testing.assert_frame_equal(found[list(exact.columns)], exact, check_exact=True, check_index_type=False)


def test_no_cell_of_a_workbook_is_a_formula_and_numbers_are_numbers(build, tmp_path):
    traps = [*TRAPS, "http://example.org", "1e5"]
    publish(build(reason=pd.Series([traps[i % len(traps)] for i in range(300)], dtype="str")), tmp_path / "policy")
    with zipfile.ZipFile(tmp_path / "policy" / "policy.xlsx") as parts:
        sheet = parts.read("xl/worksheets/sheet1.xml").decode()
        assert not [name for name in parts.namelist() if "vba" in name.lower() or "link" in name.lower()]
    assert "<f>" not in sheet and "<hyperlink" not in sheet
    cells = openpyxl.load_workbook(tmp_path / "policy" / "policy.xlsx")["Customers"]
    rows = list(cells.iter_rows(min_row=2))
    assert len(rows) == 300 and len({row[-1].value for row in rows}) == len(traps)
    for row in rows:
        assert {cell.data_type for cell in row} == {"s", "n", "d"} and row[-1].data_type == "s"


def test_a_workbook_has_human_headings_that_stay_in_sight(build, catalog, tmp_path):
    publish(build(), tmp_path / "policy")
    book = openpyxl.load_workbook(tmp_path / "policy" / "policy.xlsx")
    assert book.sheetnames == ["Customers", "Rules"]
    first = [cell.value for cell in book["Customers"][1]]
    assert first == list(headings(catalog).values())
    assert len(set(first)) == len(first)
    assert {"Expected gain [USD]", "Chance of coupon_2: 2 USD coupon"} <= set(first)
    rules = [cell.value for cell in book["Rules"][1]]
    assert rules == list(rule_headings("USD").values())
    assert {"Who", "Expected gain, to [USD]", "Held-out customers: share of the gain kept"} <= set(rules)
    assert book["Customers"].freeze_panes == book["Rules"].freeze_panes == "B2"
    assert book["Rules"].max_row == 1 + len(read_policy(tmp_path / "policy").segments.rules)


def test_a_workbook_holds_no_clock(build, tmp_path):
    publish(build(), tmp_path / "policy")
    with zipfile.ZipFile(tmp_path / "policy" / "policy.xlsx") as parts:
        assert {part.date_time for part in parts.infolist()} == {(1980, 1, 31, 0, 0, 0)}
        times = re.findall(r"\d{4}-\d\d-\d\dT[^<]*", parts.read("docProps/core.xml").decode())
    assert set(times) == {"2000-01-01T00:00:00Z"}


def test_a_text_that_no_cell_holds_is_refused(tmp_path):
    with pytest.raises(InputError, match="column 'a' has a text of 32768 characters"):
        write_workbook(tmp_path / "x.xlsx", {"A": pd.DataFrame({"a": pd.Series(["x" * 32_768], dtype="str")})})


def test_more_rows_than_a_sheet_holds_go_to_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.workbook.MOST_ROWS", 2)
    write_workbook(tmp_path / "x.xlsx", {"A": pd.DataFrame({"n": np.arange(5.0)})})
    book = openpyxl.load_workbook(tmp_path / "x.xlsx")
    assert {sheet.title: [cell.value for cell in sheet["A"]] for sheet in book} == {
        "A": ["n", 0, 1],
        "A 2": ["n", 2, 3],
        "A 3": ["n", 4],
    }


def test_a_customer_is_found_and_a_stranger_is_not(build, tmp_path):
    publish(build(), tmp_path / "policy")
    exact = read_policy(tmp_path / "policy").customers
    found = Lookup.of(tmp_path / "policy")
    row = found.lookup("0007")
    assert row["offer"] == exact.loc[7, "offer"]
    assert (row["valid_from"], row["pscore"]) == ("2018-01-01", exact.loc[7, "pscore"])
    assert list(row) == list(exact.columns)
    assert found.lookup("nobody") is found.lookup("0007' OR 1=1 --") is None
    found.close()


def test_the_lookup_file_is_read_only_leaves_no_files_and_keeps_its_bytes(build, tmp_path):
    folder = tmp_path / "policy"
    publish(build(), folder)
    before = {path.name: hash_file(path) for path in folder.iterdir()}
    found = Lookup.of(folder)
    with pytest.raises(apsw.ReadOnlyError):
        found._connection.execute("DELETE FROM decisions")
    threads = [threading.Thread(target=lambda: [found.lookup(f"{i:04d}") for i in range(300)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path.name: hash_file(path) for path in folder.iterdir()} == before
    header = (folder / "policy.sqlite").read_bytes()[:100]
    assert header[18:20] == b"\x01\x01"  # 2 would be WAL
    assert int.from_bytes(header[60:64], "big") == json.loads((folder / "manifest.json").read_text())["schema_version"]


def test_a_changed_or_foreign_lookup_file_is_refused(build, tmp_path):
    folder = tmp_path / "policy"
    publish(build(), folder)
    data = bytearray((folder / "policy.sqlite").read_bytes())
    data[-50] ^= 1
    (folder / "policy.sqlite").write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"policy\.sqlite: its bytes are not those that were published"):
        Lookup.of(folder)
    for content, complaint in ((b"no database" * 100, "not readable as SQLite"), (b"", "not a look-up file")):
        (tmp_path / "odd.sqlite").write_bytes(content)
        with pytest.raises(InputError, match=complaint):
            Lookup(tmp_path / "odd.sqlite")
    with pytest.raises(InputError, match="no such file; publish the policy first"):
        Lookup(tmp_path / "none.sqlite")
    with pytest.raises(InputError, match="no published policy with a look-up file"):
        Lookup.of(tmp_path)


def test_looking_up_needs_no_torch():
    code = "import sys, serving.lookup; print([m for m in ('torch', 'stable_baselines3') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_versions_only_grow_and_the_same_table_keeps_its_own(build, tmp_path):
    def version():
        return json.loads((tmp_path / "policy" / "manifest.json").read_text())["table_version"]

    seen = []
    for reason in ("a", "a", "b", "a"):
        publish(build(reason=reason), tmp_path / "policy")
        seen.append(version())
    assert seen == [1, 1, 2, 3]
    (tmp_path / "policy" / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match="no table_version; move the folder away"):
        publish(build(), tmp_path / "policy")
