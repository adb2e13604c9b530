"""However a platform fails, every discount is made once, in full, and what went wrong is one line without secrets."""

import json
import socket
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from campaigns.errors import InputError
from campaigns.offers import Catalog
from serving.platforms.registry import PLATFORMS
from serving.platforms.sending.delivery import Sent, check_dates, deliver
from serving.platforms.sending.endpoints import CREDENTIALS, connect, read_credentials
from serving.platforms.sending.errors import DeliveryError
from serving.platforms.sending.journal import Journal
from serving.platforms.sending.transport import ATTEMPTS, retry_after
from tests.serving.platforms.conftest import OFFERS
from tests.serving.platforms.fake_shop import SECRET, TOKEN, serving
from tests.serving.platforms.test_payloads import sent_codes

SMALL = Catalog("USD", 0.5, tuple(offer for offer in OFFERS if offer.name in ("none", "coupon_2", "spend_50")))
SENT = ["shopify", "woocommerce", "magento", "google"]
LOST = ["429", "429-date", "500", "500-done", "cut", "cut-done", "html"]
"""Faults after which the campaign still arrives in one command."""


class Waits(list):
    """Records how long was slept, and does not."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def at(mapping):
    """Return a function that puts every shop of the mapping at an address."""

    def moved(url):
        names = ("shopify", "woocommerce", "magento", "google")
        return replace(mapping, **{name: replace(getattr(mapping, name), url=url) for name in names})

    return moved


@pytest.fixture
def send(table_of, codes, at, tmp_path):
    """Return a function that sends a small campaign to an address, with the journal of this test."""

    def go(name, url, waits=None, journal="journal.jsonl", token=TOKEN):
        shop = at(url)
        table = table_of(SMALL, everyone="coupon_2" if name == "google" else "", n=45)
        campaign = PLATFORMS[name].campaign(table, codes, shop)
        own = (token, SECRET) if name == "woocommerce" else (token,)
        endpoint = connect(name, shop, own, Waits() if waits is None else waits)
        with Journal(tmp_path / journal) as kept, endpoint.transport:
            return deliver(campaign.requests, endpoint, kept), campaign

    return go


def assert_whole(name, shop, campaign):
    """Check that the shop has all of the campaign, once."""
    if name == "google":
        assert [p["promotionId"] for p in shop.made] == [r.body["promotion"]["promotionId"] for r in campaign.requests]
        return
    assert Counter(shop.codes.keys()) == Counter(sent_codes(name, campaign))
    titles = [made["title" if name == "shopify" else "name"] for made in shop.made]
    assert len(set(titles)) == len(titles) == (0 if name == "woocommerce" else 2)


@pytest.mark.parametrize("name", SENT)
def test_a_campaign_arrives_and_a_repetition_sends_nothing(name, send):
    with serving() as (url, shop):
        sent, campaign = send(name, url)
        assert sent == Sent(len(campaign.requests), 0)
        assert_whole(name, shop, campaign)
        asked = shop.changes
        again, _ = send(name, url)
        assert again == Sent(0, len(campaign.requests)) and shop.changes == asked


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("name", SENT)
def test_a_fault_makes_no_double_and_loses_nothing(name, fault, send):
    with serving("", fault, fault) if name != "google" else serving(fault, fault) as (url, shop):
        _, campaign = send(name, url)
        assert not shop.faults
        assert_whole(name, shop, campaign)


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("name", SENT)
def test_a_fault_of_the_first_request_makes_no_double(name, fault, send):
    with serving(fault) as (url, shop):
        _, campaign = send(name, url)
        assert_whole(name, shop, campaign)


@pytest.mark.parametrize("name", SENT)
def test_a_command_that_broke_off_anywhere_goes_on_without_doubles(name, send, tmp_path):
    """The journal is cut after every possible number of lines, and once in the middle of a line."""
    with serving() as (url, shop):
        _, campaign = send(name, url)
        lines = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
        for kept in sorted({0, 1, 2, 3, len(lines) // 2, len(lines) - 1}):
            for tail in (b"", b'{"key": "to'):
                (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[:kept]) + tail)
                sent, _ = send(name, url, journal="cut.jsonl")
                assert sent.now + sent.before == len(campaign.requests)
                assert_whole(name, shop, campaign)


def test_a_platform_is_waited_for_as_long_as_it_asks(send):
    waits = Waits()
    with serving("429", "429-date", "throttled") as (url, _):
        send("shopify", url, waits)
    assert waits[0] == 7.0 and 0 < waits[1] <= 3.0 and waits[2] == 5.0  # (510 - 10) / 100 points a second


def test_a_wait_of_an_hour_ends_the_command_and_the_next_one_goes_on(send):
    with serving("", "429-long") as (url, shop):
        with pytest.raises(DeliveryError, match="asks to wait for 3600 seconds; run the command again after that"):
            send("magento", url)
        _, campaign = send("magento", url)
        assert_whole("magento", shop, campaign)


@pytest.mark.parametrize("name", SENT)
def test_what_is_refused_stops_the_command_in_one_line(name, send):
    said = {"shopify": r"basicCodeDiscount.endsAt: Ends at is wrong \(INVALID\)"}.get(name, "not like this")
    with serving("refused") as (url, shop):
        with pytest.raises(DeliveryError, match=said) as error:
            send(name, url)
        assert "\n" not in str(error.value) and not shop.codes and not shop.made
        _, campaign = send(name, url)  # what was refused is corrected, and the journal does not stand in the way
        assert_whole(name, shop, campaign)


@pytest.mark.parametrize("name", SENT)
def test_wrong_credentials_are_one_line_that_does_not_show_them(name, send):
    with serving() as (url, shop):
        with pytest.raises(DeliveryError, match="401: the credentials are refused") as error:
            send(name, url, token="another-secret")
        assert "another-secret" not in str(error.value) and not shop.made


@pytest.mark.parametrize("name", SENT)
def test_no_code_and_no_secret_is_in_the_journal_or_in_an_error(name, send, tmp_path):
    with serving(*["500"] * 50) as (url, shop):
        with pytest.raises(DeliveryError, match="no answer after") as error:
            send(name, url)
        assert shop.changes == ATTEMPTS
    with serving() as (url, _):
        _, campaign = send(name, url)
    text = (tmp_path / "journal.jsonl").read_text() + str(error.value)
    assert TOKEN not in text and SECRET not in text
    assert not any(code in text for code in sent_codes(name, campaign))


def test_nobody_at_the_address_is_one_line(send):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    waits = Waits()
    with pytest.raises(DeliveryError, match=r"nothing can be sent after 6 attempts \(ConnectError\)"):
        send("shopify", f"http://127.0.0.1:{port}", waits)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]


def test_a_foreign_coupon_of_the_same_code_is_not_taken_for_ours(send):
    with serving() as (url, shop):
        send("woocommerce", url)
        for coupon in shop.coupons.values():
            coupon["meta_data"] = []
        with pytest.raises(DeliveryError, match=r"\[code\] already exists"):
            send("woocommerce", url, journal="other.jsonl")


def test_content_that_changed_after_it_was_sent_is_refused(send, at, table_of, codes, tmp_path):
    with serving() as (url, _):
        send("magento", url)
        shop = replace(at(url), magento=replace(at(url).magento, customer_group_ids=("3",)))
        campaign = PLATFORMS["magento"].campaign(table_of(SMALL, n=45), codes, shop)
        with (
            Journal(tmp_path / "journal.jsonl") as journal,
            pytest.raises(InputError, match="was sent with another content"),
        ):
            deliver(campaign.requests, connect("magento", shop, (TOKEN,), Waits()), journal)


def test_one_process_at_a_time_sends(tmp_path):
    with Journal(tmp_path / "journal.jsonl"), pytest.raises(InputError, match="another process is sending"):
        Journal(tmp_path / "journal.jsonl")


def test_a_journal_that_is_none_is_refused(tmp_path):
    (tmp_path / "journal.jsonl").write_text('{"what": 1}\n')
    with pytest.raises(InputError, match="line 1 is not a journal's"):
        Journal(tmp_path / "journal.jsonl")


def test_a_journal_says_begun_before_done(send, tmp_path):
    with serving() as (url, _):
        send("shopify", url)
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [set(line) for line in lines] == [{"key", "body"}, {"key", "body", "id"}] * (len(lines) // 2)


@pytest.mark.parametrize("name", CREDENTIALS)
def test_missing_credentials_are_named(name):
    with pytest.raises(InputError) as error:
        read_credentials(name, {})
    assert all(variable in str(error.value) for variable in CREDENTIALS[name])
    with pytest.raises(InputError, match="coupons is a file"):
        read_credentials("coupons", {})


def test_what_is_over_or_too_early_is_not_sent(table_of, codes, mapping):
    lots = [s.lot for s in PLATFORMS["shopify"].campaign(table_of(SMALL), codes, mapping).samples]
    for platform in ("shopify", "woocommerce"):
        check_dates(lots, mapping, platform, datetime(2018, 1, 7, tzinfo=UTC))
        with pytest.raises(InputError, match="ended on 2018-01-07; export a new table"):
            check_dates(lots, mapping, platform, datetime(2018, 1, 8, 5, tzinfo=UTC))
    early = datetime(2018, 1, 1, 4, 59, tzinfo=UTC)
    check_dates(lots, mapping, "shopify", early)
    with pytest.raises(InputError, match="begins on 2018-01-01, and woocommerce knows no first day"):
        check_dates(lots, mapping, "woocommerce", early)


def test_a_wait_is_read_from_seconds_and_from_dates():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after("2.5", now) == 2.5
    assert retry_after("Thu, 01 Jan 2026 00:00:09 GMT", now) == 9.0
    assert retry_after("Wed, 31 Dec 2025 00:00:09 GMT", now) == 0.0
    assert retry_after("soon", now) is None and retry_after("", now) is None
