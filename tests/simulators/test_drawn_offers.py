"""A synthetic shop that draws its offers logs the chances that it drew them by."""

from pathlib import Path

import numpy as np
import pytest

from history.decisions import load_decisions
from history.prepare import prepare
from history.sources import Tables
from simulators.synthetic.log import SyntheticLog, live_through
from simulators.synthetic.tables import write_tables
from simulators.synthetic.truth import CATALOG, SyntheticTruth, TrueShop, open_shop


@pytest.fixture(scope="module")
def drawn() -> tuple[TrueShop, SyntheticLog]:
    shop = open_shop(SyntheticTruth(customers=1500, weeks=20, randomised=True))
    return shop, live_through(shop)


def test_offers_go_out_as_often_as_their_logged_chances_say(drawn: tuple[TrueShop, SyntheticLog]) -> None:
    decisions = drawn[1].decisions
    assert decisions is not None and (decisions["pscore"] > 0).all() and (decisions["pscore"] <= 1).all()
    n = len(decisions)
    for name in CATALOG.names:
        weight = np.where(decisions["offer"] == name, 1.0 / decisions["pscore"], 0.0)
        # Offers are sometimes not allowed: then their chance is 0, and the mean below 1.
        error = weight.std() / n**0.5
        assert weight.mean() < 1.0 + 4.0 * error
        assert weight.mean() > (0.99 if name == "none" else 0.8) - 4.0 * error
    reached = decisions["offer"] != "none"
    chance = np.where(reached, np.nan, 1.0 - decisions["pscore"])
    assert np.nanstd(chance) > 0.05  # the lately busy are aimed at


def test_every_campaign_is_a_decision_and_every_decision_for_an_offer_a_campaign(
    drawn: tuple[TrueShop, SyntheticLog],
) -> None:
    decisions, sent = drawn[1].decisions, drawn[1].targeting
    assert decisions is not None
    made = decisions[decisions["offer"] != "none"].sort_values(["customer", "week"])
    sent = sent.sort_values(["customer", "start_week"])
    for mine, theirs in (("customer", "customer"), ("week", "start_week"), ("offer", "offer")):
        assert made[mine].tolist() == sent[theirs].tolist()


def test_decisions_are_read_back_as_they_were_written(drawn: tuple[TrueShop, SyntheticLog], tmp_path: Path) -> None:
    shop, log = drawn
    prepared = prepare(Tables(str(write_tables(shop, log, tmp_path))), tmp_path / "prepared")
    found = load_decisions(tmp_path / "prepared")
    assert found is not None and log.decisions is not None
    assert prepared.events.customer_ids == log.events.customer_ids
    for mine, theirs in (("customer", "customer"), ("offer", "offer"), ("pscore", "pscore")):
        assert found[mine].tolist() == log.decisions[theirs].tolist()
    assert (found["slot"] + 1).tolist() == log.decisions["week"].tolist()


def test_a_shop_that_does_not_draw_logs_no_decision() -> None:
    assert live_through(open_shop(SyntheticTruth(customers=100, weeks=12))).decisions is None
