"""Arms stay as they are at every refresh; every offer is drawn with exactly the chance that is written down."""

import hashlib
import hmac
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from campaigns.errors import InputError
from serving.arms import (
    GRAIN,
    PARTS,
    Arm,
    ArmsConfig,
    CampaignKey,
    assign,
    draw,
    evenly,
    give_up,
    in_grains,
    split_stock,
    with_floor,
)

KEY = CampaignKey("spring", b"0123456789abcdef", "a test")
IDS = [f"c{i}" for i in range(20_000)]
ANSWERS = json.loads(Path("tests/serving/arms_answers.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def parts():
    return ArmsConfig().parts(usual=True)


@st.composite
def weighed(draw_from):
    """Weights of a policy and what is allowed."""
    n, k = draw_from(st.integers(1, 6)), draw_from(st.integers(2, 9))
    raw = draw_from(arrays(np.float64, (n, k), elements=st.floats(0, 1)))
    allowed = draw_from(arrays(np.bool_, (n, k)))
    allowed[:, 0] = True
    raw = np.where(allowed, raw, 0.0)
    raw[:, 0] += 1e-3
    return raw / raw.sum(axis=1, keepdims=True), allowed


def test_a_customers_arm_stays_whoever_else_is_there(parts):
    whole = assign(KEY.words(IDS), parts)
    assert (assign(KEY.words(IDS[::-1]), parts)[::-1] == whole).all()
    assert (assign(KEY.words(IDS[:7]), parts) == whole[:7]).all()


def test_another_key_or_campaign_assigns_anew(parts):
    whole = assign(KEY.words(IDS), parts)
    for other in (CampaignKey("autumn", KEY.secret, ""), CampaignKey("spring", b"f" * 16, "")):
        same = np.mean(assign(other.words(IDS), parts) == whole)
        assert abs(same - sum((part / PARTS) ** 2 for part in parts.values())) < 0.02


def test_arms_are_as_large_as_asked(parts):
    found = np.bincount(assign(KEY.words(IDS), parts), minlength=len(Arm)) / len(IDS)
    asked = np.array([parts[arm] for arm in Arm]) / PARTS
    assert (np.abs(found - asked) < 4 * np.sqrt(asked * (1 - asked) / len(IDS))).all()


def test_the_arm_is_that_of_exact_arithmetic(parts):
    ends = np.cumsum([parts[arm] for arm in Arm]).tolist()
    for name, place in zip(IDS[:500], assign(KEY.words(IDS[:500]), parts), strict=True):
        digest = hmac.new(KEY.secret, b"arm\0spring\0" + name.encode(), hashlib.sha256).digest()
        part = int.from_bytes(digest[:8], "big") * PARTS // 2**64
        assert place == next(i for i, end in enumerate(ends) if part < end)


def test_arm_luck_and_queue_do_not_hang_together(parts):
    luck, turn = KEY.fractions("offer 2018-01-01", KEY.words(IDS)), KEY.fractions("turn 2018-01-01", KEY.words(IDS))
    arm = assign(KEY.words(IDS), parts)
    assert (
        np.abs(np.corrcoef([luck, turn, KEY.fractions("offer 2018-01-08", KEY.words(IDS)), arm]) - np.eye(4)).max()
        < 0.03
    )


@pytest.mark.parametrize("answer", ANSWERS["customers"], ids=lambda answer: answer["customer_id"])
def test_known_answers(answer):
    key = CampaignKey(ANSWERS["campaign"], bytes.fromhex(ANSWERS["key_hex"]), "")
    parts = {arm: ANSWERS["parts"][arm.value] for arm in Arm}
    words = key.words([answer["customer_id"]])
    number, luck = int(words[0, 0]), key.fractions(ANSWERS["draw"], words)
    assert key.fingerprint == ANSWERS["fingerprint"]
    assert f"{number:016x}" == answer["number_hex"]
    assert list(Arm)[assign(words, parts)[0]].value == answer["arm"]
    assert luck[0] == answer["luck"]
    assert draw(np.array([ANSWERS["weights"]]), luck)[0] == answer["offer"]


@settings(deadline=None)
@given(weighed(), st.floats(0, 0.5))
def test_weights_sum_to_exactly_one_and_keep_forbidden_offers_at_exactly_zero(both, floor):
    weights, allowed = both
    final = in_grains(with_floor(weights, allowed, floor))
    assert (final.sum(axis=1) == 1.0).all()
    assert (final[~allowed] == 0.0).all()
    assert (final * GRAIN == np.round(final * GRAIN)).all()
    assert np.abs(final - with_floor(weights, allowed, floor)).max() <= weights.shape[1] / GRAIN
    least = np.broadcast_to(floor * evenly(allowed), final.shape)
    assert (final >= least - 1 / GRAIN)[allowed].all()


@settings(deadline=None)
@given(weighed())
def test_an_offers_chance_is_its_weight_exactly(both):
    weights = in_grains(both[0])
    edges = weights.cumsum(axis=1)
    for row, ends in zip(weights, edges, strict=True):
        chance = Fraction(0)
        for offer, end in enumerate(ends):
            width = Fraction(end) - chance
            assert width == Fraction(row[offer])
            chance = Fraction(end)
            if width:  # the first and the last luck of the stretch lead to this offer
                for luck in (end - row[offer], end - 2.0**-53):
                    assert draw(row[None], np.array([luck]))[0] == offer


def test_offers_are_drawn_as_often_as_their_weights_say():
    weights = in_grains(np.tile([0.5, 0.0, 0.3, 0.2], (len(IDS), 1)))
    found = np.bincount(draw(weights, KEY.fractions("offer 2018-01-01", KEY.words(IDS))), minlength=4) / len(IDS)
    assert found[1] == 0
    assert np.abs(found - weights[0]).max() < 4 * np.sqrt(0.25 / len(IDS))


@settings(deadline=None)
@given(weighed())
def test_what_the_budget_does_not_bear_goes_to_no_offer(both):
    weights, borne = in_grains(both[0]), both[1]
    kept = give_up(weights, borne)
    assert (kept.sum(axis=1) == 1.0).all()
    assert (kept[:, 1:] == np.where(borne, weights, 0.0)[:, 1:]).all()


@settings(deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(0, 100), min_size=4, max_size=4).filter(lambda p: sum(p[:3]) > 0))
def test_stock_is_split_to_the_last_piece_and_in_proportion(stock, numbers):
    parts = dict(zip(Arm, numbers, strict=True))
    split = split_stock(stock, parts)
    assert sum(split.values()) == stock
    assert split[Arm.HOLDOUT] == 0
    whole = sum(numbers[:3])
    assert all(abs(split[arm] - stock * parts[arm] / whole) < 1 for arm in Arm if arm is not Arm.HOLDOUT)


def test_without_business_as_usual_its_share_is_optimised():
    assert ArmsConfig().parts(usual=False) == {Arm.OPTIMISED: 9000, Arm.RANDOM: 500, Arm.USUAL: 0, Arm.HOLDOUT: 500}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"holdout": 0.1}, "holdout 0.1; expected shares .* that add up to 1"),
        ({"holdout": 0.05001, "random_control": 0.04999}, "at most four decimals"),
        ({"holdout": -0.05, "random_control": 0.15}, "expected shares"),
        ({"optimised": 0.0, "holdout": 0.9}, "export.arms.optimised is 0; expected more than 0"),
        ({"floor": 0.7}, "export.arms.floor is 0.7"),
        ({"campaign": "a b"}, "export.arms.campaign is 'a b'"),
    ],
)
def test_arms_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        ArmsConfig(**changes)


def test_the_key_comes_from_the_environment_and_is_never_shown():
    key = CampaignKey.choose("spring", 0, "KEY", {"KEY": "a very secret phrase"})
    assert key.origin == "environment variable KEY"
    assert "secret" not in repr(key) + key.fingerprint
    trial = CampaignKey.choose("spring", 0, "KEY", {})
    assert "no secret" in trial.origin
    assert trial.fingerprint not in (key.fingerprint, CampaignKey.choose("spring", 1, "KEY", {}).fingerprint)
    with pytest.raises(InputError, match=r"environment variable KEY. has 5 bytes; expected 16 or more"):
        CampaignKey.choose("spring", 0, "KEY", {"KEY": "short"})


@pytest.mark.parametrize("length", [16, 63, 64, 65, 200])
def test_numbers_are_those_of_hmac_whatever_the_length_of_the_key(length: int) -> None:
    key = CampaignKey("spring", bytes(range(length)), "a test")
    names = ["", "anna", "käthe", "x" * 300]
    expected = b"".join(hmac.digest(key.secret, f"arm\0spring\0{name}".encode(), "sha256") for name in names)
    assert key.words(names).astype(">u8").tobytes() == expected


def test_luck_is_that_of_plain_arithmetic() -> None:
    words = KEY.words(IDS[:200])
    own = int.from_bytes(hmac.digest(KEY.secret, b"turn 2018-01-01\0spring\0", "sha256")[:8], "big")
    for word, found in zip(words[:, 2].tolist(), KEY.fractions("turn 2018-01-01", words).tolist(), strict=True):
        mixed = word ^ own
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> shift)) * factor % 2**64
        assert found == ((mixed ^ (mixed >> 31)) >> 11) / 2**53
