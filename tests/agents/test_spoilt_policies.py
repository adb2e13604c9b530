"""However spoilt a policy's numbers are, a forbidden offer has probability exactly 0 and rows stay distributions."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agents.decide import best_allowed, masked_softmax
from agents.registry import AGENTS, restore
from agents.square_cb import inverse_gap
from tests.agents.market import LAYOUT, draw_context

POISONS = (torch.nan, torch.inf, -torch.inf, 3e38, -3e38)


def is_lawful(dist: Tensor, mask: Tensor) -> bool:
    sums = dist.sum(dim=1)
    return bool((dist[~mask] == 0).all() and (dist >= 0).all() and torch.allclose(sums, torch.ones_like(sums)))


def spoil(tensors: dict[str, Tensor], poison: float, name: str | None) -> dict[str, Tensor]:
    """Return tensors with `poison` in all floats of the one called `name`, or in every other float of all of them."""
    spoilt = {key: value.clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    for key, value in spoilt.items():
        if value.is_floating_point() and name is None:
            value.view(-1)[::2] = poison
        elif value.is_floating_point() and key == name:
            value.fill_(poison)
    return spoilt


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("kind", AGENTS)
def test_a_policy_of_spoilt_numbers_gives_no_forbidden_offer(
    trained: Callable[[str], Any], kind: str, poison: float
) -> None:
    policy, context = trained(kind).policy, draw_context(300, seed=8)
    tensors = policy.tensors()
    for name in (None, *tensors):
        spoilt = restore(policy.kind, LAYOUT, policy.meta(), spoil(tensors, poison, name))
        assert is_lawful(spoilt.action_dist(context), context.mask), name


scores = st.lists(st.lists(st.sampled_from([*POISONS, 0.0, 1.0, -2.0]), min_size=5, max_size=5), min_size=1, max_size=6)


@settings(max_examples=300, deadline=None)
@given(scores, st.integers(0, 2**16))
def test_scores_that_are_no_numbers_never_win(values: list[list[float]], seed: int) -> None:
    score = torch.tensor(values)
    mask = torch.rand(score.shape, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[:, 0] = True
    usable = mask & score.isfinite()
    best, share = best_allowed(score, mask), masked_softmax(score, mask)
    for row, offer in enumerate(best.tolist()):
        if usable[row].any():
            assert usable[row, offer] and score[row, offer] == score[row][usable[row]].max()
            assert (share[row][~usable[row]] == 0).all()
        else:
            assert offer == 0 and share[row, 0] == 1
    assert is_lawful(share, mask)
    assert is_lawful(inverse_gap(score, mask, 3.0), mask)


def test_logits_that_are_numbers_give_what_a_plain_softmax_gives() -> None:
    logits, mask = torch.randn(100, 4), draw_context(100, seed=1).mask
    expected = torch.where(mask, logits.exp(), 0.0)
    torch.testing.assert_close(masked_softmax(logits, mask), expected / expected.sum(dim=1, keepdim=True))
