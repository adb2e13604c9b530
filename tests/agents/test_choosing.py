"""A masked choice laid out by columns is the row by row one, in value and in gradient."""

import torch
from torch import Tensor

from agents.choosing import choice_of, draw, masked_columns
from agents.decide import FORBIDDEN, masked_log_softmax

N = 500


def draw_logits(spread: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits, masks with "no offer" always allowed, and an allowed action for each row."""
    generator = torch.Generator().manual_seed(3)
    logits = spread * torch.randn(N, 7, generator=generator)
    mask = torch.rand(N, 7, generator=generator) < 0.6
    mask[:, 0] = True
    mask[:40, 1:] = False
    return logits, mask, torch.multinomial(mask.float(), 1, generator=generator).squeeze(1)


def gradient_by_rows(logits: Tensor, mask: Tensor, action: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    logits = logits.clone().requires_grad_()
    log_dist = masked_log_softmax(logits, mask)
    entropy = -(log_dist.exp() * log_dist).sum(dim=1)
    log_prob = log_dist.gather(1, action.unsqueeze(1)).squeeze(1)
    (weights[0] * log_prob + weights[1] * entropy).sum().backward()
    assert logits.grad is not None
    return log_prob.detach(), entropy.detach(), logits.grad


def test_a_choice_by_columns_has_the_values_and_gradients_of_one_by_rows() -> None:
    for spread in (1.0, 30.0):
        logits, mask, action = draw_logits(spread)
        weights = torch.randn(2, N, generator=torch.Generator().manual_seed(1))
        expected = gradient_by_rows(logits, mask, action, weights)
        moved = logits.clone().requires_grad_()
        log_prob, entropy = choice_of(moved, mask, action)
        (weights[0] * log_prob + weights[1] * entropy).sum().backward()
        assert moved.grad is not None
        for found, known in zip((log_prob, entropy, moved.grad), expected, strict=True):
            torch.testing.assert_close(found.detach(), known, atol=2e-5, rtol=1e-5)


def test_what_is_forbidden_has_no_chance_and_moves_no_logit() -> None:
    logits, mask, _ = draw_logits(1.0)
    logits[~mask] = 1e6
    dist, log_dist = masked_columns(logits, mask)
    assert (dist.t()[~mask] == 0).all() and (log_dist.t()[~mask] == FORBIDDEN).all()
    torch.testing.assert_close(dist.sum(dim=0), torch.ones(N))
    moved = logits.clone().requires_grad_()
    log_prob, entropy = choice_of(moved, mask, (~mask).long().argmax(dim=1))
    (log_prob + entropy).sum().backward()
    assert moved.grad is not None and (moved.grad[~mask] == 0).all() and moved.grad.isfinite().all()


def test_one_logit_that_is_no_number_spoils_its_row_and_no_other() -> None:
    logits, mask, action = draw_logits(1.0)
    logits[100, 0] = torch.nan
    log_prob, entropy = choice_of(logits, mask, action)
    assert log_prob.isnan().sum() == entropy.isnan().sum() == 1 and log_prob[100].isnan()


def test_drawn_actions_follow_their_distribution_and_never_leave_it() -> None:
    torch.manual_seed(0)
    dist = torch.tensor([[0.2, 0.0, 0.5, 0.3, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]]).repeat(50_000, 1)
    action = draw(dist.t())
    assert (dist.gather(1, action.unsqueeze(1)) > 0).all()
    share = torch.bincount(action[::2], minlength=5) / 50_000
    torch.testing.assert_close(share, dist[0], atol=0.01, rtol=0)
