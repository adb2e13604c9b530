"""Kills, full disks, swaps under load: nothing acknowledged is lost, and every request has an answer."""

import http.client
import json
import random
import shutil
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import apsw
import pytest

from serving.lookup import Lookup
from serving.online.service import Settings
from serving.publishing import publish
from serving.table import PolicyTable
from tests.serving.served import DAY, Client, Served, every_key, serving, start
from tests.serving.signing import ANA, TRUSTED, without_offer

SWAPS = 1_000
KILLS = 100
REDEEMERS = 50


@dataclass
class Load:
    """What came back while decisions were asked for all the time.

    Attributes:
        answers: How many came that were right, by connection.
        wrong: What went wrong.
    """

    answers: list[int]
    wrong: list[str] = field(default_factory=list)

    def check(self, least: int) -> None:
        """Refuse a load under which something was wrong, or hardly anything was asked."""
        assert self.wrong == []
        assert min(self.answers) >= least, self.answers


@contextmanager
def load(client: Client, check: Callable[[Any, int], None], threads: int = 4) -> Iterator[Load]:
    """Ask for decisions all the time; yields what came of it so far.

    Args:
        client: Asks.
        check: Raises where an answer is wrong, given it and the nanoseconds when it was asked for.
        threads: Connections.
    """
    stop, found = threading.Event(), Load([0] * threads)

    def ask(place: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
        while not stop.is_set():
            asked = time.monotonic_ns()
            try:
                status, made = client.on(connection, "GET", f"/v1/decisions/{random.randrange(300):04d}")
                assert status == 200, made
                check(made, asked)
            except Exception as error:
                found.wrong.append(repr(error))
                break
            found.answers[place] += 1
        connection.close()

    running = [threading.Thread(target=ask, args=(place,)) for place in range(threads)]
    for one in running:
        one.start()
    try:
        yield found
    finally:
        stop.set()
        for one in running:
            one.join()


def versions(build: Callable[..., PolicyTable], root: Path) -> Callable[[int], None]:
    """Return a function that lets `root/policy` be a version: even ones name other items than odd ones."""
    for name in ("odd", "even"):
        rows = build().customers
        promotes = rows["promoted_category"] != ""
        publish(build(promoted_items=rows["promoted_items"].where(~promotes, name)), root / name)

    def switch(version: int) -> None:
        folder, source = root / f"v{version}", root / ("even" if version % 2 == 0 else "odd")
        folder.mkdir()
        manifest = json.loads((source / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"table_version": version}))
        (folder / "policy.sqlite").symlink_to(source / "policy.sqlite")
        (root / "next").symlink_to(folder)
        (root / "next").rename(root / "policy")

    return switch


def even_or_odd(made: dict[str, Any], asked: int) -> None:
    assert made["reason"] == "match"
    if made["promoted_category"]:
        assert made["promoted_items"] == ("even" if made["version"] % 2 == 0 else "odd")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("swaps", "settings"), [(SWAPS, {"poll_seconds": 0.05}), (30, {})], ids=["many", "as it is set"]
)
def test_swaps_under_load_fail_tear_and_mix_nothing(
    build: Callable[..., PolicyTable], tmp_path: Path, swaps: int, settings: dict[str, float]
) -> None:
    switch = versions(build, tmp_path)
    switch(1)
    given = Settings(tmp_path / "state", folder=tmp_path / "policy", today=DAY, **settings)
    longest = 0.0
    with serving(given) as served, load(served.client, even_or_odd) as loaded:
        for version in range(2, swaps + 2):
            switch(version)
            begun = time.monotonic()
            while served.client.get("/v1/decisions/0001")[1]["version"] != version:
                assert time.monotonic() < begun + 5
            longest = max(longest, time.monotonic() - begun)
        many = served.client.post("/v1/decisions", {"customers": [f"{i:04d}" for i in range(300)]})[1]["decisions"]
        assert {one["version"] for one in many} == {swaps + 1}
    loaded.check(least=swaps)
    print(f"{swaps} swaps, {sum(loaded.answers)} answers, the longest visible after {longest:.2f} s")
    assert longest <= 1.0


@pytest.mark.slow
def test_a_signed_version_counts_within_a_second_for_its_share_of_the_customers(
    build: Callable[..., PolicyTable], tmp_path: Path
) -> None:
    from serving.store import Store

    ANA.trusted([*TRUSTED.keys["ana"].roles]).write(tmp_path / "trusted")
    store = Store(tmp_path / "store", TRUSTED, clock=lambda: "2018-01-01T08:00:00Z")
    publish(build(), tmp_path / "first")
    publish(without_offer(build(), 3), tmp_path / "second")
    store.publish(tmp_path / "first", ANA)
    settings = Settings(tmp_path / "state", store=tmp_path / "store", trusted=tmp_path / "trusted", today=DAY)
    with serving(settings) as served:
        assert served.client.get("/v1/decisions/0001")[1]["version"] == 1
        store.publish(tmp_path / "second", ANA, 25)
        counts = (
            (tmp_path / "store" / "current").stat().st_mtime
        )  # it counted before `publish` verified all of it again
        while served.client.get("/v1/policy")[1]["version"] != 2:
            assert time.time() < counts + 5
        assert time.time() - counts <= 1.0
        release = store.current()
        ids = [f"{i:04d}" for i in range(300)]
        made = served.client.post("/v1/decisions", {"customers": ids})[1]["decisions"]
        assert [one["version"] for one in made] == [release.for_customer(name).version for name in ids]
        assert served.client.get("/v1/policy")[1]["percent"] == 25


@pytest.mark.slow
def test_a_broken_table_leaves_the_last_good_one_and_a_missing_one_the_safe_default(
    build: Callable[..., PolicyTable], tmp_path: Path
) -> None:
    switch = versions(build, tmp_path)
    with serving(Settings(tmp_path / "state", folder=tmp_path / "policy", today=DAY)) as served:
        assert "state default" in served.line and served.client.get("/readyz") == (503, {"status": "default"})
        assert served.client.get("/v1/decisions/0001")[1]["reason"] == "default"
        assert served.client.get("/v1/policy")[1]["version"] == 0
        switch(5)
        time.sleep(0.8)
        assert served.client.get("/v1/decisions/0001")[1]["version"] == 5
        shutil.copytree(tmp_path / "even", tmp_path / "broken")
        data = bytearray((tmp_path / "broken" / "policy.sqlite").read_bytes())
        data[5000] ^= 1
        (tmp_path / "broken" / "policy.sqlite").write_bytes(data)
        for bad in ("broken", "v3", "nowhere"):
            if bad == "v3":
                switch(3)  # a lower version offered as new
            else:
                (tmp_path / "next").symlink_to(tmp_path / bad)
                (tmp_path / "next").rename(tmp_path / "policy")
            time.sleep(0.6)
            assert served.client.get("/v1/decisions/0001")[1]["version"] == 5, bad


@pytest.mark.parametrize(("day", "reason"), [(date(2018, 1, 7), "match"), (date(2018, 1, 8), "stale")])
def test_past_its_last_day_the_table_gives_nothing_and_says_so(
    exported: Path, tmp_path: Path, day: date, reason: str
) -> None:
    with serving(Settings(tmp_path / "state", folder=exported, today=day)) as served:
        assert served.client.get("/v1/decisions/0001")[1]["reason"] == reason
        assert served.client.get("/readyz")[0] == (503 if reason == "stale" else 200)


@pytest.mark.slow
def test_the_kill_switch_takes_hold_within_a_second_under_load_and_over_a_restart(
    exported: Path, tmp_path: Path
) -> None:
    settings = Settings(tmp_path / "state", folder=exported, today=DAY)
    pulled = [time.monotonic_ns() + 10**15]

    def check(made: dict[str, Any], asked: int) -> None:
        assert made["reason"] == "killed" or asked < pulled[0] + 10**9, made

    with serving(settings) as served, load(served.client, check) as loaded:
        assert served.client.get("/v1/decisions/0001")[1]["reason"] == "match"
        (tmp_path / "state" / "KILLED").touch()
        pulled[0] = time.monotonic_ns()
        time.sleep(2)
    loaded.check(least=100)
    for environment in ({}, {"OFFERSMITH_KILL": "1"}):
        with serving(settings, **environment) as served:
            assert served.client.get("/v1/decisions/0001")[1]["reason"] == "killed"
            (tmp_path / "state" / "KILLED").unlink(missing_ok=True)
            time.sleep(0.6)
            assert served.client.get("/v1/decisions/0001")[1]["reason"] == ("killed" if environment else "match")
            (tmp_path / "state" / "KILLED").touch()


def test_sigterm_finishes_what_was_begun_and_writes_down_every_decision(exported: Path, tmp_path: Path) -> None:
    settings = Settings(tmp_path / "state", folder=exported, today=DAY)
    with serving(settings) as served:
        ids = [served.client.get(f"/v1/decisions/{i:04d}")[1] for i in range(100)]
        assert served.stop() == 0
    found = apsw.Connection(str(tmp_path / "state" / "decisions.sqlite")).execute(
        "SELECT customer, offer, pscore, reason FROM decisions ORDER BY number"
    )
    assert [tuple(row) for row in found] == [(m["customer"], m["offer"], m["pscore"], m["reason"]) for m in ids]


def test_where_nothing_can_be_written_nothing_is_acknowledged_and_no_offer_made(exported: Path, tmp_path: Path) -> None:
    settings = Settings(tmp_path / "state", folder=exported, today=DAY)
    token = every_key(settings.state)
    served = start(settings, token, ["prlimit", "--fsize=400000"])
    try:
        kept, statuses = 0, Counter[int]()
        for i in range(60):
            event = {"kind": "click", "customer": "c" * 100, "time": time.time()}
            events = [event | {"event_id": f"event-{i}-{k}"} for k in range(100)]
            status, found = served.client.post("/v1/events", {"events": events})
            statuses[status] += 1
            kept += found["accepted"] if status == 200 else 0
        assert set(statuses) == {200, 503} or set(statuses) == {200, 507} or set(statuses) == {200, 503, 507}
        for _ in range(30):
            served.client.post("/v1/decisions", {"customers": [f"{k:04d}" for k in range(300)]})
            time.sleep(0.02)
        assert served.client.get("/readyz") == (503, {"status": "failing"})
        assert served.client.get("/v1/decisions/0001")[1]["reason"] == "default"
        assert served.client.ask("PUT", "/v1/switch", {"killed": True})[1]["killed"]
        assert served.client.get("/v1/decisions/0001")[1]["reason"] == "killed"
    finally:
        served.kill()
    rows = apsw.Connection(str(tmp_path / "state" / "events.sqlite")).execute("SELECT count(*) FROM events").get
    assert rows == kept > 0


@dataclass
class Redeemers:
    """Clients that reserve, commit and release, and ask again with the same key when the service was killed."""

    client: Client
    ids: list[str]
    acknowledged: dict[str, int] = field(default_factory=dict)
    given_back: set[str] = field(default_factory=set)
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, seed: int) -> None:
        rng = random.Random(seed)
        try:
            while not self.stop.is_set():
                self._redeem(rng)
        except Exception as error:
            self.wrong.append(repr(error))

    def _redeem(self, rng: random.Random) -> None:
        status, made = self._ask("GET", f"/v1/decisions/{rng.choice(self.ids)}")
        if status != 200 or made["offer"] == "none":
            time.sleep(0.01)
            return
        asked = {"decision_id": made["decision_id"], "customer": made["customer"]}
        status, held = self._ask("POST", "/v1/redemptions", asked)
        if status != 201:
            assert status in (0, 404, 409), held  # 404: the decision was lost with the process
            self.refused += 1
            return
        name, cents = held["redemption_id"], rng.randrange(1, 60)
        if rng.random() < 0.3:
            if self._ask("POST", f"/v1/redemptions/{name}/release")[0] == 200:
                self.given_back.add(name)
            return
        status, done = self._ask("POST", f"/v1/redemptions/{name}/commit", {"amount_cents": cents})
        if status == 200:
            assert done["amount_cents"] == cents
            self.acknowledged[name] = cents

    def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {} if method == "GET" else {"Idempotency_Key": uuid.uuid4().hex}
        while not self.stop.is_set():
            try:
                return self.client.ask(method, path, body, **headers)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
        return 0, None


def check_ledger(state: Path, redeemers: Redeemers) -> tuple[int, int]:
    """Hold the ledger's file against what was acknowledged; return spent and the limit [cents]."""
    connection = apsw.Connection(str(state / "ledger.sqlite"))
    committed = dict(connection.execute("SELECT id, cents FROM redemptions WHERE state = 'committed'"))
    lost = {name for name, cents in redeemers.acknowledged.items() if committed.get(name) != cents}
    assert lost == set()
    assert not redeemers.given_back & set(committed)
    twice = connection.execute(
        "SELECT count(*) - count(DISTINCT decision) FROM redemptions WHERE state = 'committed'"
    ).get
    assert twice == 0
    for arm, offer, most, held, spent in connection.execute("SELECT arm, offer, most, held, spent FROM accounts"):
        mine = "arm = ?1 AND (?2 = '' OR offer = ?2)"
        count = "sum(iif(?2 = '', cents, 1))"
        for state_name, total in (("reserved", held), ("committed", spent)):
            found = connection.execute(
                f"SELECT coalesce({count}, 0) FROM redemptions WHERE {mine} AND state = ?3", (arm, offer, state_name)
            ).get
            assert found == total, (arm, offer, state_name)
        assert held + spent <= most
    return connection.execute("SELECT spent, most FROM accounts WHERE arm = 'optimised' AND offer = ''").get


def kill_redeemers(exported: Path, tmp_path: Path, kills: int) -> None:
    settings = Settings(tmp_path / "state", folder=exported, today=DAY, reserve_seconds=3.0)
    token = every_key(settings.state)
    ids = [row["customer_id"] for row in Lookup.of(exported) if row["offer"] != "none"]
    served: Served = start(settings, token)
    redeemers = Redeemers(served.client, ids)
    running = [threading.Thread(target=redeemers.run, args=(seed,)) for seed in range(REDEEMERS)]
    rng = random.Random(1)
    for one in running:
        one.start()
    try:
        for _ in range(kills):
            time.sleep(rng.uniform(0.05, 0.5))
            served.kill()
            check_ledger(settings.state, redeemers)
            served = start(settings, token)
            redeemers.client = replace(served.client)
    finally:
        redeemers.stop.set()
        for one in running:
            one.join()
        served.stop()
    assert redeemers.wrong == []
    spent, most = check_ledger(settings.state, redeemers)
    print(f"{kills} kills: {len(redeemers.acknowledged)} commits acknowledged, {spent} of {most} cents spent, "
          f"{redeemers.refused} refused")  # fmt: skip
    assert len(redeemers.acknowledged) > kills


@pytest.mark.slow
def test_a_hundred_kills_among_fifty_redeemers_lose_double_and_overspend_nothing(
    exported: Path, tmp_path: Path
) -> None:
    kill_redeemers(exported, tmp_path, KILLS)


@pytest.mark.slow
def test_events_survive_a_hundred_kills_once_each(exported: Path, tmp_path: Path) -> None:
    settings = Settings(tmp_path / "state", folder=exported, today=DAY)
    token = every_key(settings.state)
    acknowledged, sent = set[str](), 0
    rng = random.Random(2)
    for _ in range(KILLS):
        served = start(settings, token)
        killer = threading.Timer(rng.uniform(0.02, 0.3), served.process.kill)
        killer.start()
        try:
            while True:
                batch = [
                    {"event_id": f"event-{sent + i:09d}", "kind": "click", "customer": "c", "time": time.time()}
                    for i in range(200)
                ]
                # Every third batch is sent twice, as a client does that got no answer.
                for _ in range(1 + (sent % 600 == 0)):
                    status, found = served.client.post("/v1/events", {"events": batch})
                    assert status == 200 and found["accepted"] + found["duplicates"] == 200
                acknowledged |= {one["event_id"] for one in batch}
                sent += 200
        except (OSError, http.client.HTTPException):
            sent += 200
        served.kill()
    connection = apsw.Connection(str(tmp_path / "state" / "events.sqlite"))
    kept = [row[0] for row in connection.execute("SELECT event_id FROM events")]
    assert len(kept) == len(set(kept)) and acknowledged <= set(kept)
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    parts = connection.execute("SELECT count(*) FROM events GROUP BY substr(event_id, 7) / 200").fetchall()
    assert {part[0] for part in parts} == {200}
    print(f"{KILLS} kills: {len(acknowledged)} events acknowledged, {len(kept)} kept, 0 lost")
