"""A published policy is whole, exact in Parquet, safe in a spreadsheet, and the same bytes each time."""

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.errors import InputError
from history.artifacts import hash_file
from serving.publishing import FILES, publish, read_policy
from serving.spreadsheet import escape, unescape
from serving.table import DATE_COLUMNS, TEXT_COLUMNS

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TRAPS = [
    "=1+1",
    "+1",
    "-1",
    "@a",
    "\tx",
    "\rx",
    "\nx",
    "\x00x",
    "|x",
    "＝1",
    "－1",
    "  =1",
    "\u3000=1",
    "'=1",
    "'",
    "\u22121",
    '=so, "it"\r\npays',
]
HARMLESS = ["a=1", "NA", " a ", '"', "a\x00b", "\ufeffx"]


def read_csv(path):
    """Open the customers as the documentation says: text as text, dates as dates."""
    text = dict.fromkeys(TEXT_COLUMNS, "str")
    rows = pd.read_csv(path, dtype=text, parse_dates=list(DATE_COLUMNS), keep_default_na=False)
    return rows.astype(dict.fromkeys(DATE_COLUMNS, "datetime64[us]"))


def test_what_is_published_is_read_back(build, tmp_path):
    table = build()
    publish(table, tmp_path / "policy")
    again = read_policy(tmp_path / "policy")
    pd.testing.assert_frame_equal(again.customers, table.customers)
    assert again.segments == table.segments
    assert again.manifest == table.manifest


def test_the_same_table_gives_the_same_bytes(build, tmp_path):
    hashes = []
    for name in ("a", "b"):
        publish(build(), tmp_path / name)
        hashes.append({file.name: hash_file(file) for file in (tmp_path / name).iterdir()})
    assert hashes[0] == hashes[1]
    assert set(hashes[0]) == {*FILES, "manifest.json"}


def test_parquet_holds_dates_and_text_exactly(build, tmp_path):
    table = build(reason="=1+1")
    publish(table, tmp_path / "policy")
    schema = pq.read_schema(tmp_path / "policy" / "policy_by_customer.parquet")
    assert (str(schema.field("valid_from").type), str(schema.field("customer_id").type)) == ("date32[day]", "string")
    assert (read_policy(tmp_path / "policy").customers["reason"] == "=1+1").all()


def test_the_manifest_names_every_file_and_no_clock(build, tmp_path):
    publish(build(), tmp_path / "policy")
    manifest = json.loads((tmp_path / "policy" / "manifest.json").read_text())
    assert manifest["files"] == {name: hash_file(tmp_path / "policy" / name) for name in FILES}
    assert manifest["table_version"] == 1
    assert (manifest["customers"], manifest["valid_from"], manifest["valid_to"]) == (300, "2018-01-01", "2018-01-28")
    assert manifest["rules"]["rules"][-1]["conditions"] == []


@pytest.mark.parametrize("name", FILES)
def test_an_altered_file_is_refused(build, tmp_path, name):
    publish(build(), tmp_path / "policy")
    path = tmp_path / "policy" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=f"{name}: its bytes are not those that were published"):
        read_policy(tmp_path / "policy")
    path.unlink()
    with pytest.raises(InputError, match=f"{name}: no such file"):
        read_policy(tmp_path / "policy")


def test_a_second_policy_replaces_the_first_as_a_whole(build, tmp_path):
    publish(build(), tmp_path / "policy")
    (tmp_path / "policy" / "stray.txt").write_text("left by hand")
    publish(build(reason="a better reason"), tmp_path / "policy")
    assert (read_policy(tmp_path / "policy").customers["reason"] == "a better reason").all()
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
    assert not (tmp_path / "policy" / "stray.txt").exists()


def test_a_failed_writing_leaves_the_old_policy(build, tmp_path, monkeypatch):
    publish(build(), tmp_path / "policy")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="No space left"):
        publish(build(reason="never seen"), tmp_path / "policy")
    assert (read_policy(tmp_path / "policy").customers["reason"] == "because it pays").all()


def test_a_killed_run_is_cleared_up_by_the_next(build, tmp_path):
    (tmp_path / ".policy.new").mkdir()
    (tmp_path / ".policy.new" / "policy_by_customer.csv").write_text("half")
    publish(build(), tmp_path / "policy")
    (tmp_path / "policy").rename(tmp_path / ".policy.old")  # killed between the two renames
    publish(build(reason="after the kill"), tmp_path / "policy")
    assert (read_policy(tmp_path / "policy").customers["reason"] == "after the kill").all()
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]


def test_a_policy_renamed_away_by_a_killed_run_survives_a_failing_next(build, tmp_path, monkeypatch):
    publish(build(), tmp_path / "policy")
    (tmp_path / "policy").rename(tmp_path / ".policy.old")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="No space left"):
        publish(build(), tmp_path / "policy")
    assert len(read_policy(tmp_path / "policy").customers) == 300


@pytest.mark.parametrize("trap", TRAPS)
def test_a_formula_is_escaped_and_comes_back(trap):
    cells = pd.Series([trap], dtype="str")
    assert escape(cells)[0] == "'" + trap
    assert unescape(escape(cells))[0] == trap


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_formula_is_not_escaped(text):
    assert escape(pd.Series([text], dtype="str"))[0] == text


def test_numbers_stay_as_they_are(build, tmp_path):
    publish(build(expected_uplift_lo_usd=-5.0), tmp_path / "policy")
    lines = (tmp_path / "policy" / "policy_by_customer_spreadsheet.csv").read_text("utf-8-sig").splitlines()
    assert lines[1].startswith('"0000",')
    assert ",-5.0," in lines[1]
    assert "'" not in lines[1]


@given(TEXT)
def test_escaping_is_reversible_and_leaves_no_formula(text):
    cells = pd.Series([text], dtype="str")
    safe = escape(cells)[0]
    assert unescape(pd.Series([safe], dtype="str"))[0] == text
    assert not safe.strip().startswith(("=", "+", "-", "@", "|", "＝", "＋", "－", "＠"))
    assert not safe.startswith(("\t", "\r", "\n", "\x00"))


def test_the_segments_file_is_one_row_per_rule(build, tmp_path):
    table = build()
    publish(table, tmp_path / "policy")
    rules = pd.read_csv(tmp_path / "policy" / "policy_by_segment.csv", keep_default_na=False)
    assert rules["segment"].tolist() == [rule.number for rule in table.segments.rules]
    assert rules[["rule", "condition"]].iloc[-1].tolist() == ["everyone else", ""]
    assert rules["share"].sum() == pytest.approx(1.0, abs=1e-3)
    assert rules["customers"].sum() == 300
