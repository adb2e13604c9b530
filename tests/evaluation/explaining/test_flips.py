"""What is said to change a decision changes it, no smaller change does, and it stays within what was observed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from evaluation.explaining.flips import NONE, Flips, Permitted, contact_cap_ends, flip_policy, flip_rules
from evaluation.explaining.rule_shapley import Features, decide
from evaluation.ruling import Ruling

RULES = (
    Ruling({"weeks_since_visit": (4.0, None)}, 2),
    Ruling({"weeks_since_visit": (None, 4.0), "promo_share": (0.5, None)}, 1),
    Ruling({}, 0),
)


def everything(n: int, offers: int = 3, cap: int | None = None) -> Permitted:
    mask = torch.ones(n, offers, dtype=torch.bool)
    return Permitted(mask, mask, torch.zeros(offers), cap)


def people(seed: int, n: int = 60) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "weeks_since_visit": torch.randint(0, 12, (n,), generator=generator).double(),
        "promo_share": torch.rand(n, generator=generator, dtype=torch.float64),
        "contacts_8w": torch.randint(0, 4, (n,), generator=generator).double(),
    }


def representative(found: Flips, features: Features) -> Tensor:
    """Return for each customer an observed value of the number that would change the decision."""
    values = torch.stack([features[name].double() for name in found.names])[found.feature.clamp(min=0)]
    inside = (values >= found.at_least[:, None]) & (values < found.below[:, None])
    return values.gather(1, inside.to(torch.int64).argmax(dim=1, keepdim=True)).squeeze(1)


def test_known_answers_of_a_small_shop() -> None:
    features = {
        "weeks_since_visit": torch.tensor([1.0, 2.0, 6.0, 9.0]), "promo_share": torch.tensor([0.1, 0.9, 0.2, 0.8]),
        "contacts_8w": torch.zeros(4),
    }  # fmt: skip
    found = flip_rules(RULES, features, everything(4))
    # the first passes one of four by either way and is told the first by name; the others pass none, none and one
    assert [found.names[i] for i in found.feature] == ["promo_share", *["weeks_since_visit"] * 3]
    assert found.offer.tolist() == [1, 2, 0, 1]
    assert found.at_least.tolist() == [0.5, 4.0, -torch.inf, -torch.inf]
    assert found.below.tolist() == [torch.inf, torch.inf, 4.0, 4.0]
    assert found.moved.tolist() == [0.25, 0.0, 0.0, 0.25]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_the_change_that_is_named_gives_the_offer_that_is_named(seed: int) -> None:
    features = people(seed)
    permitted = everything(60)
    found = flip_rules(RULES, features, permitted)
    now = decide(RULES, features, permitted.mask)
    moved_to = representative(found, features)
    for place, name in enumerate(found.names):
        mine = found.feature == place
        changed = {**features, name: torch.where(mine, moved_to, features[name])}
        given_then = decide(RULES, changed, permitted.mask)
        assert (given_then[mine] == found.offer[mine]).all() and (given_then[mine] != now[mine]).all()
    assert (found.feature != NONE).all()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_no_observed_value_of_one_number_that_lies_nearer_changes_anything(seed: int) -> None:
    features = people(seed, 25)
    permitted = everything(25)
    found, now = flip_rules(RULES, features, permitted), decide(RULES, features, permitted.mask)
    for name in found.names:
        values = features[name]
        for value in values.unique().tolist():
            other = decide(RULES, {**features, name: torch.full_like(values, value)}, permitted.mask) != now
            low, high = torch.minimum(values, torch.tensor(value)), torch.maximum(values, torch.tensor(value))
            between = ((values[None, :] > low[:, None]) & (values[None, :] < high[:, None])).double().mean(dim=1)
            assert (~other | (between >= found.moved - 1e-9)).all()


def test_what_nobody_was_seen_with_is_not_proposed() -> None:
    features = {"weeks_since_visit": torch.tensor([0.0, 1.0, 2.0]), "promo_share": torch.tensor([0.1, 0.2, 0.3])}
    assert decide(RULES, features, everything(3).mask).tolist() == [0, 0, 0]
    found = flip_rules(RULES, features, everything(3))
    assert (found.feature == NONE).all() and torch.isinf(found.moved).all()


def test_an_offer_for_those_who_stayed_away_is_not_promised_for_less() -> None:
    rules = (Ruling({"promo_share": (0.5, None)}, 1), Ruling({}, 0))
    features = {
        "weeks_since_visit": torch.tensor([9.0, 2.0, 9.0]), "promo_share": torch.tensor([0.9, 0.9, 0.1]),
    }  # fmt: skip
    away = torch.tensor([0.0, 8.0])
    mask = features["weeks_since_visit"].unsqueeze(1) >= away
    found = flip_rules(rules, features, Permitted(mask, torch.ones_like(mask), away, None))
    assert [found.names[i] for i in found.feature] == ["promo_share", "weeks_since_visit", "promo_share"]
    assert found.offer.tolist() == [0, 1, 1] and found.at_least[1] == 8.0


def test_a_reached_contact_cap_gives_way_when_contacts_do() -> None:
    features = {"weeks_since_visit": torch.zeros(4), "contacts_8w": torch.tensor([3.0, 0.0, 1.0, 2.0])}
    mask = (features["contacts_8w"] < 3).unsqueeze(1) | torch.tensor([True, False])
    permitted = Permitted(mask, torch.ones_like(mask), torch.zeros(2), 3)
    for limit, least in ((2.0, 2.0), (5.0, 3.0)):  # what a rule would give from 3 contacts on, the cap forbids
        found = flip_rules((Ruling({"contacts_8w": (None, limit)}, 1), Ruling({}, 0)), features, permitted)
        assert found.offer.tolist() == [1, 0, 0, 1 if limit == 2 else 0]
        assert (found.below[0], found.at_least[1], found.at_least[2]) == (least, least, least)
    assert permitted.when("contacts_8w", features["contacts_8w"], features, torch.arange(4)).equal(mask)
    other = Permitted(mask, torch.ones_like(mask), torch.zeros(2), None)  # the cap counts other weeks: it stays
    assert other.when("contacts_8w", torch.zeros(4), features, torch.arange(4)).equal(mask)


def test_a_network_is_asked_for_quantiles_of_what_was_observed_and_the_nearest_that_changes_it_is_named() -> None:
    features = people(4, 200)
    asked: list[float] = []

    def favoured(name: str, values: Tensor, rows: Tensor) -> Tensor:
        asked.append(float(values[0]))
        weeks = values if name == "weeks_since_visit" else features["weeks_since_visit"][rows]
        return (weeks >= 4).to(torch.int64)

    now = favoured("promo_share", features["promo_share"], torch.arange(200))
    tried = {name: features[name] for name in ("promo_share", "weeks_since_visit")}
    found = flip_policy(now, favoured, tried, ["weeks_since_visit"])
    assert (found.feature == 1).all() and (found.offer == 1 - now).all()
    assert set(found.at_least[now == 0].tolist()) == {4.0} and set(found.at_least[now == 1].tolist()) == {3.0}
    assert found.at_least.equal(found.below)
    assert all(value in features["weeks_since_visit"] for value in asked if value >= 1)


def test_a_policy_that_nothing_moves_has_no_change_to_name() -> None:
    features = people(1)
    found = flip_policy(torch.zeros(60, dtype=torch.int64), lambda _, values, __: torch.zeros_like(values).long(),
                        {"promo_share": features["promo_share"]}, [])  # fmt: skip
    assert (found.feature == NONE).all()


@pytest.mark.parametrize("order_seed", [0, 1])
def test_customers_in_another_order_are_told_the_same(order_seed: int) -> None:
    features = people(8)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(order_seed))
    found = flip_rules(RULES, features, everything(60))
    turned = flip_rules(RULES, {name: values[order] for name, values in features.items()}, everything(60))
    assert turned.offer.equal(found.offer[order]) and turned.feature.equal(found.feature[order])


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), cap=st.integers(1, 4))
def test_the_contact_cap_ends_in_the_week_in_which_enough_contacts_have_left_the_window(seed: int, cap: int) -> None:
    contacts = torch.randint(0, 2, (40, 8), generator=torch.Generator().manual_seed(seed)).float()
    told = contact_cap_ends(contacts, cap)
    later, first = contacts, torch.full((40,), -1)
    for week in range(9):
        free = (later.sum(dim=1) < cap) & (first < 0)
        first = torch.where(free, week, first)
        later = torch.cat([torch.zeros(40, 1), later[:, :-1]], dim=1)
    assert told.equal(first)
    assert (contact_cap_ends(contacts, 0) == 0).all()
