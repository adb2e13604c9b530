"""What is acknowledged is on the disk, once; budget and stock are never overspent."""

import contextlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from campaigns.errors import InputError
from serving.arms import GRAIN
from serving.online.answers import Decision
from serving.online.api_keys import Keys, Scope, create_key, revoke_key
from serving.online.commits import Journal, StorageError
from serving.online.decider import Note
from serving.online.decision_log import DecisionLog
from serving.online.events import ConflictError, Event, Events
from serving.online.ledger import MONEY, Ledger, RefusedError, UnknownError, Wanted
from serving.online.rates import Rates
from serving.online.service import Service, Settings
from serving.online.switch import FILE, Switch


class Terms:
    """As much of a table as a ledger asks for."""

    def __init__(self, budget: int, stock: int, version: int = 1, period: str = "spring/2018-01-01") -> None:
        from campaigns.offers import Offer, OfferKind
        from serving.online.tables import Account

        self.period, self.version = period, version
        self.accounts = {"optimised": Account(budget, {"flash_sale": stock})}
        terms = {"depth": 0.4, "cap_cents": 100, "stock": 10}
        self.offers = {
            "flash_sale": Offer("flash_sale", OfferKind.FLASH_SALE, "flash", **terms),
            "coupon": Offer("coupon", OfferKind.COUPON, "coupon", value_cents=100, cap_cents=100),
        }


def wanted(decision: int, cents: int = 100, offer: str = "coupon") -> Wanted:
    return Wanted(decision, f"c{decision}", "spring/2018-01-01", "optimised", offer, cents)


def opened(folder: Path, budget: int, stock: int, now=lambda: 0.0, seconds: float = 60.0) -> Ledger:
    ledger = Ledger(folder, now, seconds)
    ledger.open_accounts(Terms(budget, stock)).result()
    return ledger


def money(ledger: Ledger) -> tuple[int, int]:
    return next((one.held, one.spent) for one in ledger.left if one.offer == MONEY)


def test_a_commit_spends_what_it_did_cost_and_gives_the_rest_back(tmp_path: Path) -> None:
    ledger = opened(tmp_path, 150, 5)
    held = ledger.reserve(wanted(1), "key-1").result()
    assert money(ledger) == (100, 0)
    with pytest.raises(RefusedError, match="budget"):
        ledger.reserve(wanted(2), "key-2").result()
    assert ledger.commit(held.id, 40, "key-3").result().cents == 40
    assert money(ledger) == (0, 40)
    assert ledger.reserve(wanted(2), "key-2").result().state == "reserved"
    ledger.close()


def test_the_same_key_gives_the_same_redemption_and_another_request_with_it_is_refused(tmp_path: Path) -> None:
    ledger = opened(tmp_path, 1000, 5)
    held = ledger.reserve(wanted(1), "key-1").result()
    assert ledger.reserve(wanted(1), "key-1").result() == held
    done = ledger.commit(held.id, 30, "key-2").result()
    assert ledger.commit(held.id, 30, "key-2").result() == done
    assert money(ledger) == (0, 30)
    with pytest.raises(ConflictError):
        ledger.reserve(wanted(2), "key-1").result()
    with pytest.raises(RefusedError, match="committed"):
        ledger.commit(held.id, 30, "key-3").result()
    with pytest.raises(RefusedError, match="already"):
        ledger.reserve(wanted(1), "key-4").result()
    with pytest.raises(UnknownError):
        ledger.release("0" * 32, "key-5").result()
    ledger.close()


def test_stock_is_counted_in_pieces_and_what_is_used_up_is_told(tmp_path: Path) -> None:
    ledger = opened(tmp_path, 10_000, 2)
    place = ("spring/2018-01-01", "optimised")
    first = ledger.reserve(wanted(1, offer="flash_sale"), "key-1").result()
    ledger.reserve(wanted(2, offer="flash_sale"), "key-2").result()
    assert ledger.used_up == {(*place, "flash_sale")}
    with pytest.raises(RefusedError, match="stock"):
        ledger.reserve(wanted(3, offer="flash_sale"), "key-3").result()
    assert money(ledger) == (200, 0)  # the refused one holds no money either
    ledger.release(first.id, "key-4").result()
    assert ledger.used_up == set()
    ledger.close()


def test_a_reservation_comes_back_by_itself(tmp_path: Path) -> None:
    now = [0.0]
    ledger = opened(tmp_path, 100, 5, lambda: now[0])
    held = ledger.reserve(wanted(1), "key-1").result()
    now[0] = 61.0
    ledger.expire().result()
    assert money(ledger) == (0, 0)
    with pytest.raises(RefusedError, match="expired"):
        ledger.commit(held.id, 10, "key-2").result()
    ledger.close()


@pytest.mark.parametrize("off", [-3600.0, 3600.0])
def test_a_clock_that_jumps_by_an_hour_overspends_and_forgets_nothing(tmp_path: Path, off: float) -> None:
    now = [10_000.0]
    ledger = opened(tmp_path, 100, 5, lambda: now[0])
    held = ledger.reserve(wanted(1), "key-1").result()
    now[0] += off
    ledger.expire().result()
    if off > 0:  # given back too early: who comes to commit is refused, and somebody else may have it
        with pytest.raises(RefusedError, match="expired"):
            ledger.commit(held.id, 100, "key-2").result()
        held = ledger.reserve(wanted(2), "key-3").result()
    with pytest.raises(RefusedError, match="budget"):
        ledger.reserve(wanted(3), "key-4").result()
    ledger.commit(held.id, 100, "key-5").result()
    now[0] -= off
    ledger.expire().result()
    assert money(ledger) == (0, 100)
    assert ledger.commit(held.id, 100, "key-5").result().cents == 100
    ledger.close()


def test_a_new_version_of_the_same_period_does_not_give_the_budget_again(tmp_path: Path) -> None:
    ledger = opened(tmp_path, 100, 5)
    held = ledger.reserve(wanted(1), "key-1").result()
    ledger.commit(held.id, 100, "key-2").result()
    ledger.close()
    ledger = Ledger(tmp_path, lambda: 0.0, 60.0)
    ledger.open_accounts(Terms(120, 5, version=2)).result()
    assert money(ledger) == (0, 100)
    with pytest.raises(RefusedError, match="budget"):
        ledger.reserve(wanted(2), "key-3").result()
    ledger.close()


def test_many_at_once_never_overspend(tmp_path: Path) -> None:
    ledger = opened(tmp_path, 1_000, 100)

    def redeem(i: int) -> bool:
        try:
            held = ledger.reserve(wanted(i, cents=30), f"reserve-{i}").result()
            ledger.commit(held.id, 30, f"commit-{i}").result()
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        done = sum(pool.map(redeem, range(200)))
    assert done == 33 and money(ledger) == (0, 990)
    ledger.close()


class LedgerLaws(RuleBasedStateMachine):
    """Whatever is done in whatever order: held + spent stays within the limit and equals what redemptions say."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.now = 0.0
        self.ledger = opened(Path(self.folder.name), 500, 4, lambda: self.now)
        self.names: list[str] = []
        self.count = 0

    @rule(cents=st.integers(0, 100), offer=st.sampled_from(["coupon", "flash_sale"]), decision=st.integers(0, 9))
    def reserve(self, cents: int, offer: str, decision: int) -> None:
        self.count += 1
        with contextlib.suppress(RefusedError):
            self.names.append(self.ledger.reserve(wanted(decision, cents, offer), f"r{self.count}").result().id)

    @precondition(lambda self: self.names)
    @rule(data=st.data(), cents=st.integers(0, 120), release=st.booleans())
    def end(self, data: st.DataObject, cents: int, release: bool) -> None:
        name = data.draw(st.sampled_from(self.names))
        self.count += 1
        try:
            if release:
                self.ledger.release(name, f"e{self.count}").result()
            else:
                self.ledger.commit(name, cents, f"e{self.count}").result()
        except RefusedError:
            pass

    @rule(seconds=st.floats(-90, 90))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.ledger.expire().result()

    @invariant()
    def adds_up(self) -> None:
        found = [self.ledger.find(name).result() for name in self.names]
        for one in self.ledger.left:
            mine = [r for r in found if one.offer in (MONEY, r.offer)]
            for state, total in (("reserved", one.held), ("committed", one.spent)):
                assert sum(r.cents if one.offer == MONEY else 1 for r in mine if r.state == state) == total
            assert one.held + one.spent <= one.most
        kept = [r.decision for r in found if r.state in ("reserved", "committed")]
        assert len(kept) == len(set(kept))

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()


TestLedgerLaws = LedgerLaws.TestCase
TestLedgerLaws.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)


def event(name: str, **changes: object) -> Event:
    given = {"event_id": name, "kind": "click", "customer": "c", "decision": None, "time": 1e9, "amount_cents": None}
    return Event(**(given | changes))  # type: ignore[arg-type]


def test_an_event_is_kept_once_and_its_id_is_for_no_other(tmp_path: Path) -> None:
    events = Events(tmp_path)
    assert events.keep([event("e-1"), event("e-2")]).result() == (2, 0, 2)  # of 2001: set aside as late
    assert events.keep([event("e-1"), event("e-3")]).result() == (1, 1, 1)
    with pytest.raises(ConflictError):
        events.keep([event("e-4"), event("e-1", kind="purchase")]).result()
    events.close()
    connection = apsw.Connection(str(tmp_path / "events.sqlite"))
    assert [row[0] for row in connection.execute("SELECT event_id FROM events ORDER BY 1")] == ["e-1", "e-2", "e-3"]


def test_a_write_that_fails_undoes_itself_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", "CREATE TABLE IF NOT EXISTS t (x)")
    gate = threading.Event()
    first = journal.submit(lambda c: gate.wait(5))

    def bad(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (2)")
        raise RefusedError("no")

    others = [journal.submit(lambda c: c.execute("INSERT INTO t VALUES (1)").get), journal.submit(bad)]
    gate.set()
    first.result()
    others[0].result()
    with pytest.raises(RefusedError):
        others[1].result()
    assert journal.submit(lambda c: c.execute("SELECT group_concat(x) FROM t").get).result() == "1"
    journal.close()


def test_who_gives_up_waiting_stops_no_other_write(tmp_path: Path) -> None:
    journal, go = Journal(tmp_path / "j.sqlite", "CREATE TABLE IF NOT EXISTS t (x INTEGER)"), threading.Event()
    begun = threading.Event()

    def slow(connection: apsw.Connection) -> None:
        begun.set()
        go.wait(10)
        connection.execute("INSERT INTO t VALUES (1)")

    first = journal.submit(slow)
    begun.wait(10)
    given_up = journal.submit(lambda connection: connection.execute("INSERT INTO t VALUES (2)").get)
    assert given_up.cancel() and not first.cancel()
    go.set()
    last = journal.submit(lambda connection: connection.execute("SELECT group_concat(x) FROM t").get)
    assert last.result(10) == "1" and first.result(10) is None
    journal.close()


def test_what_cannot_be_written_is_not_acknowledged(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", "CREATE TABLE IF NOT EXISTS t (x)")
    journal.submit(lambda c: c.execute("PRAGMA max_page_count = 3").get).result()
    with pytest.raises(StorageError, match="full"):
        journal.submit(lambda c: c.execute("INSERT INTO t VALUES (zeroblob(100000))").get).result()
    assert journal.submit(lambda c: c.execute("SELECT count(*) FROM t").get).result() == 0
    journal.close()


def test_decisions_are_written_with_their_chance_to_the_last_bit(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    chances = [i / GRAIN for i in range(1, GRAIN + 1)]
    for i, chance in enumerate(chances):
        log.note(Note(2**60 + i, 1.5, "p", Decision("x", "Zoë", 1, "match", pscore=chance)))
    log.flush()
    found = apsw.Connection(str(tmp_path / "decisions.sqlite")).execute(
        "SELECT number, pscore, customer FROM decisions"
    )
    assert [tuple(row) for row in found] == [(2**60 + i, chance, "Zoë") for i, chance in enumerate(chances)]
    assert log.find(2**60) is not None and log.find(1) is None
    log.close()
    again = DecisionLog(tmp_path)
    assert again.last == 2**60 + GRAIN - 1
    again.close()


def test_the_switch_stays_pulled_over_a_restart_and_is_released_with_a_reason(tmp_path: Path) -> None:
    switch = Switch(tmp_path, {})
    assert not switch.killed
    assert switch.pull("k", "") and switch.killed
    assert Switch(tmp_path, {}).killed
    with pytest.raises(InputError, match="reason"):
        switch.release("k", " ")
    switch.release("k", "checked")
    assert not switch.killed and not Switch(tmp_path, {}).killed
    assert [json.loads(line)["killed"] for line in (tmp_path / "switch.jsonl").read_text().splitlines()] == [
        True,
        False,
    ]
    (tmp_path / FILE).touch()
    assert switch.look()


def test_the_environment_pulls_the_switch_and_nothing_releases_that(tmp_path: Path) -> None:
    switch = Switch(tmp_path, {"OFFERSMITH_KILL": "1"})
    assert switch.killed
    with pytest.raises(InputError, match="environment"):
        switch.release("k", "please")
    assert not Switch(tmp_path, {"OFFERSMITH_KILL": "0"}).killed


def test_the_switch_is_pulled_even_where_nothing_can_be_written_down(tmp_path: Path) -> None:
    switch = Switch(tmp_path, {})
    (tmp_path / "switch.jsonl").mkdir()  # no line can be appended
    assert switch.pull("k", "now") and (tmp_path / FILE).exists()
    with pytest.raises(IsADirectoryError):
        switch.release("k", "checked")
    assert switch.killed and Switch(tmp_path, {}).killed


def test_only_the_hash_of_a_key_is_kept_and_only_the_whole_key_opens(tmp_path: Path) -> None:
    token = create_key(tmp_path, [Scope.DECIDE], "shop", days=1)
    secret = token.split("_", 2)[2]
    assert secret not in (tmp_path / "keys.json").read_text() and len(secret) >= 43
    assert os.stat(tmp_path / "keys.json").st_mode & 0o077 == 0
    keys = Keys(tmp_path)
    found = keys.find(token.encode())
    assert found is not None and found.scopes == ("decide",)
    for wrong in ("", token[:-1], token + "x", token.replace("osk", "OSK"), f"osk__{secret}", "osk_", "é" * 50):
        assert keys.find(wrong.encode()) is None
    other = create_key(tmp_path, [Scope.ADMIN], "", days=-1)
    keys.look()
    assert keys.find(other.encode()) is None  # expired
    revoke_key(tmp_path, found.id)
    keys.look()
    assert keys.find(token.encode()) is None
    with pytest.raises(InputError, match="no key"):
        revoke_key(tmp_path, found.id)


def test_keys_that_are_made_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda i: create_key(tmp_path, [Scope.DECIDE], str(i)), range(24)))
    keys = Keys(tmp_path)
    assert len(keys) == 24 and all(keys.find(token.encode()) for token in tokens)


def test_a_state_folder_serves_one_service_at_a_time(tmp_path: Path, folder: Path) -> None:
    given = Settings(tmp_path / "state", folder=folder)
    first = Service(given)
    with pytest.raises(InputError, match="another service works with this state folder"):
        Service(given)
    first.close()
    Service(given).close()


def test_a_bucket_gives_as_much_as_comes_in() -> None:
    now = [0.0]
    rates = Rates(10, lambda: now[0])
    assert [rates.wait("a") for _ in range(10)] == [0.0] * 10
    assert rates.wait("a") == pytest.approx(0.1)
    assert rates.wait("b") == 0.0
    now[0] = 0.25
    assert [rates.wait("a") > 0 for _ in range(3)] == [False, False, True]
