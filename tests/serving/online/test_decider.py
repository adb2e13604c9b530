"""Every customer gets an answer: their row, a rule, or no offer with the reason."""

import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.errors import InputError
from serving.http.models import CUSTOMER
from serving.lookup import Lookup
from serving.online.answers import Reason
from serving.online.clock import Clock
from serving.online.decider import PERSONALISED, PERSONALISED_PRICE, Decider, Loaded
from serving.online.identity import Names
from serving.online.tables import Table, read_manifest
from serving.reasons import Disclosure

DAY = date(2018, 1, 2)


@pytest.fixture
def decider(folder: Path) -> Decider:
    return Decider.of(folder, Clock(DAY))


def test_every_customer_of_the_table_gets_their_row(decider: Decider, folder: Path) -> None:
    rows = list(Lookup.of(folder))
    assert len(rows) == 300
    for row in rows:
        made = decider.decide(row["customer_id"])
        assert made.reason == "match" and made.version == 1
        for name in (
            "offer", "offer_label", "promoted_category", "promoted_items", "valid_from", "valid_to", "arm", "pscore",
            "disclosure",
        ):  # fmt: skip
            assert getattr(made, name) == row[name]


@given(customer=st.text(st.characters(), max_size=200))
def test_whatever_the_id_there_is_an_answer_and_never_an_error(customer: str, shared_decider: Decider) -> None:
    made = shared_decider.decide(customer)
    assert made.reason in ("match", "default") and (made.reason == "match" or made.offer == "none")


@pytest.fixture(scope="module")
def shared_decider(tmp_path_factory: pytest.TempPathFactory, build) -> Decider:
    from serving.publishing import publish

    path = tmp_path_factory.mktemp("policy") / "policy"
    publish(build(), path)
    return Decider.of(path, Clock(DAY))


def test_a_new_customer_is_served_by_the_rules_and_gets_the_same_again(decider: Decider) -> None:
    made = decider.decide_new({"weeks_since_visit": 6.0}, "new")
    assert (made.reason, made.offer, made.arm, made.valid_from) == ("rule", "coupon_2", "", "2018-01-01")
    assert made.pscore == decider.loaded.table.segments.rules[0].weights["coupon_2"]
    assert decider.decide_new({"weeks_since_visit": 6.0}, "new")[2:] == made[2:]


def test_whom_the_table_knows_gets_their_row_whatever_features_are_given(decider: Decider) -> None:
    assert decider.decide_new({"weeks_since_visit": 6.0}, "0001").reason == "match"


def test_features_that_no_customer_can_have_are_refused(decider: Decider) -> None:
    for features in ({"height": 1.0}, {"weeks_since_visit": -1.0}, {"promo_share": 1.5}):
        with pytest.raises(InputError, match="feature"):
            decider.decide_new(features)


@pytest.mark.parametrize(
    ("day", "reason"), [(date(2017, 12, 31), "default"), (date(2018, 1, 7), "match"), (date(2018, 1, 8), "stale")]
)
def test_outside_of_its_days_the_table_gives_nothing(folder: Path, day: date, reason: str) -> None:
    decider = Decider.of(folder, Clock(day))
    made = [decider.decide("0001"), decider.decide("0002")]
    assert {one.reason for one in made} == {reason}
    assert reason == "match" or {one.offer for one in made} == {"none"}


def test_without_a_table_the_answer_is_no_offer() -> None:
    decider = Decider(Names(b"k" * 32), Clock(DAY))
    assert decider.decide("0001")[2:5] == (0, "default", "none")
    assert decider.decide_new({"anything": 1.0})[2:5] == (0, "default", "none")


def test_the_kill_switch_wins_over_everything(folder: Path) -> None:
    decider = Decider(Names(b"k" * 32), Clock(DAY), killed=lambda: True)
    decider.loaded = Loaded(Table.open(folder, read_manifest(folder)))
    assert {decider.decide(f"{i:04d}").reason for i in range(300)} == {"killed"}
    assert decider.decide_new({"weeks_since_visit": 6.0}).offer == "none"


def test_while_decisions_cannot_be_written_down_no_offer_is_made(folder: Path) -> None:
    decider = Decider(Names(b"k" * 32), Clock(DAY), note=lambda note: False)
    decider.loaded = Loaded(Table.open(folder, read_manifest(folder)))
    assert {decider.decide(f"{i:04d}").offer for i in range(300)} == {"none"}


def test_what_is_used_up_becomes_no_offer_with_the_chance_of_both(folder: Path) -> None:
    table = Table.open(folder, read_manifest(folder))
    used = {(table.period, "optimised", "coupon_2")}
    decider = Decider(Names(b"k" * 32), Clock(DAY), used_up=lambda: used)
    decider.loaded = Loaded(table)
    row = next(row for row in Lookup.of(folder) if row["offer"] == "coupon_2")
    made = decider.decide(row["customer_id"])
    assert (made.reason, made.offer) == ("default", "none")
    assert made.pscore == row["weight_none"] + row["weight_coupon_2"]
    assert decider.decide_new({"weeks_since_visit": 6.0}).offer == "none"


def test_a_changed_look_up_file_is_refused(folder: Path) -> None:
    path = folder / "policy.sqlite"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="not those that were published"):
        Decider.of(folder)


def test_a_stale_wal_beside_the_file_changes_nothing(folder: Path) -> None:
    (folder / "policy.sqlite-wal").write_bytes(b"\x37\x7f\x06\x82" + b"\0" * 4000)
    assert Decider.of(folder, Clock(DAY)).decide("0001").reason == "match"


def test_rows_that_were_published_wrongly_are_not_given(folder: Path) -> None:
    table = Table.open(folder, read_manifest(folder))
    row = next(table.row(f"{i:04d}") for i in range(300) if table.row(f"{i:04d}").offer != "none")
    assert table.sound(row.offer, row.arm, row.pscore)
    for offer, arm, pscore in (
        ("free_car", row.arm, 1.0), (row.offer, "nobody", 1.0), (row.offer, "holdout", 1.0),
        (row.offer, row.arm, float("nan")), (row.offer, row.arm, 0.0), (row.offer, row.arm, 1.1),
    ):  # fmt: skip
        assert not table.sound(offer, arm, pscore)


@given(customer=st.text(max_size=20), other=st.text(max_size=20))
def test_an_id_is_of_one_customer_alone(customer: str, other: str) -> None:
    names = Names(b"k" * 32)
    number, name = names.make(customer)
    assert names.number(name, customer) == number
    assert customer == other or names.number(name, other) is None
    assert names.number(name[:-1] + ("0" if name[-1] != "0" else "1"), customer) is None
    assert Names(b"j" * 32).number(name, customer) is None


@pytest.mark.parametrize("off", [-3600, 3600])
def test_a_clock_an_hour_off_is_wrong_for_an_hour_around_midnight_and_never_fails(folder: Path, off: int) -> None:
    midnight = datetime(2018, 1, 1, tzinfo=UTC).timestamp()
    noon = range(int(midnight) + 1800, int(midnight) + 7 * 86_400, 7_200)
    for time in (*range(int(midnight) - 5400, int(midnight) + 5400, 1800), *noon):
        right, wrong = (
            Decider.of(folder, Clock(now=lambda seen=seen: seen)).decide("0001") for seen in (time, time + off)
        )
        near = abs((time - midnight + 43_200) % 86_400 - 43_200) <= 3600
        assert wrong.reason in ("match", "default", "stale")
        assert near or wrong[1:] == right[1:]  # all but the id


def test_ids_grow_over_a_restart_even_if_the_clock_is_set_back() -> None:
    far = 2**62
    assert Names(b"k" * 32, after=far).make("a")[0] == far + 1


def test_the_day_changes_at_midnight_and_when_the_clock_is_set_back() -> None:
    now = [86_399.0]
    clock = Clock(now=lambda: now[0])
    assert clock.today() == "1970-01-01"
    now[0] = 86_400.0
    assert clock.today() == "1970-01-02"
    now[0] = 0.0
    assert clock.today() == "1970-01-01"


def test_words_of_rules_are_words_of_the_table() -> None:
    known = {one.value for one in Disclosure}
    assert {*PERSONALISED.split("; "), *PERSONALISED_PRICE.split("; ")} <= known
    assert {reason.value for reason in Reason} == {"match", "rule", "default", "stale", "killed"}


def test_deciding_needs_neither_torch_nor_pandas(folder: Path) -> None:
    import subprocess

    code = (
        "import sys; from pathlib import Path; from serving.online.decider import Decider; "
        f"import serving.http.app; Decider.of(Path({str(folder)!r})).decide('1'); "
        "print([m for m in ('torch', 'pandas', 'stable_baselines3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_ids_with_control_characters_are_none() -> None:
    import re

    assert re.fullmatch(CUSTOMER, "Zoë / 7 =cmd()") and not re.fullmatch(CUSTOMER, "a\nb")
    assert not re.fullmatch(CUSTOMER, "") and not re.fullmatch(CUSTOMER, "x" * 129)
