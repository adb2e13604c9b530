"""Shapley values obey their axioms, agree with known answers and with shap, and are the same however they are found."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from campaigns.decision import Context
from campaigns.errors import InputError
from evaluation.explaining import shapley
from evaluation.explaining.players import PLAYERS, Player, Table, player_of
from evaluation.explaining.rule_shapley import RuleGame, decide, holds, product_values
from evaluation.explaining.shapley import Game, exact, mean_and_error, sampled
from evaluation.ruling import Ruling
from history.features import FEATURES
from simulators.observation import CAMPAIGN_FEATURES

NAMES = ("weeks_since_visit", "basket_usd", "promo_share", "contacts_8w", "promoted_share")
"""One feature of each of five groups."""
ANSWERS = json.loads((Path(__file__).parents[1] / "shap_answers.json").read_text("utf-8"))


def context(rows: Tensor, mask: Tensor | None = None) -> Context[Tensor]:
    allowed = torch.ones(len(rows), 3, dtype=torch.bool) if mask is None else mask
    return Context(rows, allowed, torch.zeros(len(rows)))


def game(outcome: Callable[[Tensor], Tensor], theirs: Tensor, background: Tensor, names: Sequence[str] = NAMES) -> Game:
    def of_rows(row: Context[Tensor], _: Tensor) -> Tensor:
        return outcome(row.features).unsqueeze(1)

    return Game(of_rows, Table.of(names), context(theirs), context(background))


def curved(x: Tensor) -> Tensor:
    return torch.tanh(x[:, 0] * x[:, 1]) + x[:, 2] ** 2 * (x[:, 3] > 0) - 0.5 * x[:, 4] * x[:, 0] + 0.3 * x[:, 1]


def points(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, len(NAMES), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def of(phi: Tensor, player: Player) -> Tensor:
    return phi[:, :, PLAYERS.index(player), 0]


@pytest.mark.parametrize("found", [exact, lambda one: sampled(one, 1, pairs=3)])
def test_values_sum_to_the_outcome_less_that_of_each_background_customer(found: Callable[[Game], Tensor]) -> None:
    theirs, background = points(7), points(5, seed=1)
    phi = found(game(curved, theirs, background))
    torch.testing.assert_close(phi.sum(dim=2)[:, :, 0], curved(theirs)[:, None] - curved(background))


@pytest.mark.parametrize("found", [exact, lambda one: sampled(one, 1)])
def test_a_feature_that_the_policy_ignores_has_exactly_no_value(found: Callable[[Game], Tensor]) -> None:
    phi = found(game(lambda x: torch.exp(x[:, 0]) * x[:, 1], points(6), points(4, seed=1)))
    for player in (Player.PROMOTION, Player.CONTACTS, Player.TASTE):
        assert (of(phi, player) == 0).all()
    assert (of(phi, Player.RHYTHM) != 0).all()


def test_groups_that_the_policy_treats_alike_share_alike() -> None:
    theirs, background = points(6), points(4, seed=1)
    theirs[:, 1], background[:, 1] = theirs[:, 0], background[:, 0]
    phi = exact(game(lambda x: torch.sin(x[:, 0] * x[:, 1]) + x[:, 2], theirs, background))
    torch.testing.assert_close(of(phi, Player.RHYTHM), of(phi, Player.VALUE))


def test_of_a_linear_policy_the_value_is_slope_times_the_distance_from_the_mean() -> None:
    slopes = torch.tensor([2.0, -1.0, 0.5, 0.0, 3.0], dtype=torch.float64)
    theirs, background = points(9), points(30, seed=1)
    linear = game(lambda x: x @ slopes, theirs, background)
    mean, _ = mean_and_error(exact(linear))
    known = slopes * (theirs - background.mean(dim=0))
    for place, name in enumerate(NAMES):
        torch.testing.assert_close(mean[:, PLAYERS.index(player_of(name)), 0], known[:, place])
    torch.testing.assert_close(sampled(linear, 5), exact(linear))  # without interactions every order says the same


def knotted(x: Tensor) -> Tensor:
    """Return a function whose groups interact by threes."""
    return curved(x) + torch.tanh(x[:, 0] * x[:, 1] * x[:, 2]) - (x[:, 2] * x[:, 3] * x[:, 4] > 0).double()


def test_intervals_cover_what_a_whole_population_as_background_would_say() -> None:
    theirs, everybody = points(20), points(2000, seed=1)
    known, _ = mean_and_error(exact(game(knotted, theirs, everybody)))
    inside = []
    for seed in range(40):
        drawn = everybody[torch.randperm(2000, generator=torch.Generator().manual_seed(seed))[:64]]
        mean, error = mean_and_error(sampled(game(knotted, theirs, drawn), seed))
        inside.append(((mean - known).abs() < 1.96 * error)[:, : len(PLAYERS)][error > 0])
    assert 0.92 < float(torch.cat(inside).double().mean()) < 0.98


def test_a_permutation_and_its_reverse_leave_no_error_where_groups_interact_in_pairs_at_most() -> None:
    pairwise = game(curved, points(8), points(5, seed=1))
    torch.testing.assert_close(sampled(pairwise, 2), exact(pairwise))
    more = game(knotted, points(8), points(5, seed=1))
    missed = [float((sampled(more, 2, pairs) - exact(more)).square().mean().sqrt()) for pairs in (1, 100)]
    assert missed[0] > 0.02 and missed[1] < missed[0] / 5  # by ten, but for luck


def test_what_is_found_of_a_customer_does_not_hang_on_the_others_or_on_the_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs, background = points(30), points(6, seed=1)
    together = sampled(game(curved, theirs, background), 3)
    monkeypatch.setattr(shapley, "ROWS", 13)
    torch.testing.assert_close(sampled(game(curved, theirs, background), 3), together, rtol=0, atol=0)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(sampled(game(curved, theirs[order], background), 3), together[order], rtol=0, atol=0)
    torch.testing.assert_close(sampled(game(curved, theirs[4:5], background), 3), together[4:5], rtol=0, atol=0)


def test_the_columns_of_a_group_move_together() -> None:
    names = ("visit_rate_1w", "visit_rate_4w", "basket_usd")
    theirs, background = points(5)[:, :3], points(4, seed=1)[:, :3]
    phi = exact(game(lambda x: x[:, 0] * x[:, 1] + x[:, 2], theirs, background, names))
    products = [part[:, 0] * part[:, 1] for part in (theirs, background)]
    torch.testing.assert_close(of(phi, Player.RHYTHM), products[0][:, None] - products[1])


def test_what_is_allowed_and_what_money_costs_are_players_too() -> None:
    mask = torch.tensor([[True, True], [True, False]])
    theirs = Context(torch.ones(2, 1), mask, torch.tensor([0.0, 1.0]))
    background = Context(torch.zeros(1, 1), mask[1:], torch.tensor([1.0]))

    def outcome(row: Context[Tensor], _: Tensor) -> Tensor:
        return (row.mask[:, 1] * row.features[:, 0] - row.price).unsqueeze(1)

    phi = exact(Game(outcome, Table.of(NAMES[:1]), theirs, background))
    assert of(phi, Player.ALLOWED).tolist() == [[0.5], [0.0]] and of(phi, Player.RHYTHM).tolist() == [[0.5], [0.0]]
    assert of(phi, Player.PRICE).tolist() == [[1.0], [0.0]]


def test_every_feature_of_the_market_has_a_group_that_people_know() -> None:
    names = (*FEATURES, *CAMPAIGN_FEATURES, "saving_coupon_5")
    assert [name for name in names if player_of(name) is Player.OTHER] == []
    assert player_of("saving_share") is Player.PROMOTION and player_of("saving_coupon_5") is Player.VALUE
    assert player_of("a shop's own") is Player.OTHER


def test_too_many_groups_and_nobody_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="0 customers against 4"):
        exact(game(curved, points(0), points(4)))
    crowd = game(curved, points(3), points(4))
    monkeypatch.setattr(shapley, "MOST_EXACT", 4)
    with pytest.raises(InputError, match="5 groups vary; at most 4"):
        exact(crowd)


def test_customers_who_are_all_alike_are_explained_by_nothing() -> None:
    same = torch.ones(3, len(NAMES), dtype=torch.float64)
    for found in (exact(game(curved, same, same)), sampled(game(curved, same, same), 0)):
        assert (found == 0).all()
    assert torch.isinf(mean_and_error(found[:, :1])[1]).all()  # of one background customer nothing tells the error


def test_values_are_those_of_shap() -> None:
    theirs, background = (torch.tensor(ANSWERS[name], dtype=torch.float64) for name in ("theirs", "background"))
    phi = exact(game(curved, theirs, background)).mean(dim=1)[:, [PLAYERS.index(player_of(one)) for one in NAMES], 0]
    torch.testing.assert_close(phi, torch.tensor(ANSWERS["curved"], dtype=torch.float64), rtol=0, atol=1e-12)


def by_name(rows: Tensor) -> dict[str, Tensor]:
    return {name: rows[:, place] for place, name in enumerate(NAMES)}


def test_values_of_a_tree_are_those_of_shap() -> None:
    *leaves, last = ANSWERS["leaves"]
    rules = [Ruling({name: tuple(pair) for name, pair in one["limits"].items()}, i) for i, one in enumerate(leaves, 1)]
    rules.append(Ruling({}, len(leaves) + 1))
    worth = torch.tensor([[0.0], *([one["value"]] for one in [*leaves, last])], dtype=torch.float64)
    pair = [torch.tensor(ANSWERS[name], dtype=torch.float64) for name in ("theirs", "background")]
    every = [(by_name(rows), torch.ones(len(rows), len(worth), dtype=torch.bool)) for rows in pair]
    phi = RuleGame(rules, worth).values(every[0], every[1]).mean(dim=1)
    phi = phi[:, [PLAYERS.index(player_of(one)) for one in NAMES], 0]
    torch.testing.assert_close(phi, torch.tensor(ANSWERS["tree"], dtype=torch.float64), rtol=0, atol=1e-6)


RULES = (
    Ruling({"weeks_since_visit": (0.3, None), "basket_usd": (None, 0.5)}, 1),
    Ruling({"weeks_since_visit": (None, 0.3), "promo_share": (-0.5, 0.8), "promoted_share": (0.0, None)}, 2),
    Ruling({"weeks_since_visit": (0.3, None), "basket_usd": (0.5, 2.0), "contacts_8w": (None, 0.0)}, 0),
    Ruling({}, 1),
)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), rest=st.sampled_from([0, 1, 2]))
def test_the_closed_form_of_rules_is_what_enumeration_of_their_decisions_gives(seed: int, rest: int) -> None:
    rules = [*RULES[:-1], Ruling({}, rest)]
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(11, len(NAMES), generator=generator, dtype=torch.float64)
    mask = torch.rand(11, 3, generator=generator) < 0.7
    mask[:, 0] = True
    worth = torch.tensor([[0.0, 0.0], [1.0, 2.5], [1.0, 0.4]], dtype=torch.float64)

    def outcome(row: Context[Tensor], _: Tensor) -> Tensor:
        return worth[decide(rules, by_name(row.features), row.mask)]

    pair = context(rows[:6], mask[:6]), context(rows[6:], mask[6:])
    enumerated = exact(Game(outcome, Table.of(NAMES), *pair))
    closed = RuleGame(rules, worth).values((by_name(rows[:6]), mask[:6]), (by_name(rows[6:]), mask[6:]))
    torch.testing.assert_close(closed, enumerated, rtol=0, atol=1e-12)


def test_the_estimate_for_networks_tends_to_the_closed_form_on_a_tree() -> None:
    rows, allowed = points(50, seed=2), torch.ones(50, 3, dtype=torch.bool)
    worth = torch.tensor([[0.0], [1.0], [2.5]], dtype=torch.float64)

    def outcome(row: Context[Tensor], _: Tensor) -> Tensor:
        return worth[decide(RULES, by_name(row.features), row.mask)]

    whole = Game(outcome, Table.of(NAMES), context(rows[:20]), context(rows[20:]))
    closed = RuleGame(RULES, worth).values((by_name(rows[:20]), allowed[:20]), (by_name(rows[20:]), allowed[20:]))
    missed = [float((sampled(whole, 7, pairs) - closed).square().mean().sqrt()) for pairs in (1, 100)]
    assert missed[1] < missed[0] / 5 and missed[1] < 0.02


def test_a_product_gives_its_worth_to_those_who_alone_hold() -> None:
    theirs, background = torch.tensor([[True, True, False, True]]), torch.tensor([[False, False, True, True]])
    # two hold for x alone, one for b alone: (2-1)! 1! / 3! for each of x's, minus 2! 0! / 3! for b's
    torch.testing.assert_close(
        product_values(theirs, background)[0, 0], torch.tensor([1 / 6, 1 / 6, -1 / 3, 0.0], dtype=torch.float64)
    )
    assert (product_values(theirs, torch.tensor([[True, False, False, True]])) == 0).all()


def test_a_rule_asks_of_a_group_all_that_it_asks_of_its_features() -> None:
    rule = Ruling({"basket_usd": (0.0, None), "spend_per_week_usd": (1.0, None)}, 1)
    features = {"basket_usd": torch.tensor([1.0, 1.0]), "spend_per_week_usd": torch.tensor([2.0, 0.0])}
    met = holds(rule, 1, features, torch.tensor([[True, True], [True, False]]))
    assert met[:, PLAYERS.index(Player.VALUE)].tolist() == [True, False]
    assert met[:, PLAYERS.index(Player.ALLOWED)].tolist() == [True, False]


def test_rules_that_can_hold_at_once_or_have_no_catch_all_are_refused() -> None:
    worth = torch.zeros(3, 1)
    with pytest.raises(InputError, match="rules 1 and 2 can hold at once"):
        RuleGame([Ruling({"promo_share": (0.1, None)}, 1), Ruling({"promo_share": (None, 0.2)}, 2), RULES[3]], worth)
    with pytest.raises(InputError, match="expected the catch-all"):
        RuleGame(RULES[:2], worth)
