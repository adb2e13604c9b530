"""Blocks of rows change nothing, and what is shared stays shared."""

from dataclasses import replace

import pytest
import torch

import simulators.blocks as blocks
from campaigns.budget import UNLIMITED, Ledger
from history.features import features
from history.state import State, columnwise, take_rows
from simulators.market import Market
from tests.simulators.play import ask_anything, live, open_at, tensors_of


@pytest.mark.parametrize("budget_cents", [UNLIMITED, 40_000])
def test_weeks_lived_in_blocks_are_the_weeks(
    budget_cents: int, market: Market, pool: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = replace(market, stock_share=0.02)

    def lived() -> list[dict[str, torch.Tensor]]:
        state = open_at(market, pool, budget_cents=budget_cents)
        weeks = live(market, state, ask_anything(6), weeks=5, seed=2)
        return [tensors_of(outcome) | tensors_of(after) for _, _, outcome, after in weeks]

    together = lived()
    monkeypatch.setattr(blocks, "BLOCK", 50)
    assert pool.n % 50
    for week, expected in zip(lived(), together, strict=True):
        for name, value in week.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-5, msg=lambda text, name=name: name)


def test_a_block_holds_whole_runs_and_what_it_makes_keeps_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 5)
    rows, shared, seen = torch.arange(22).float(), torch.ones(3), []

    def work(part: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
        assert same is shared
        seen.append(len(part))
        return torch.stack([part > 3, part < 7], dim=1)

    made = blocks.in_blocks(work, rows, (rows, shared), run=4)
    assert seen == [8, 8, 6]
    assert torch.equal(made, torch.stack([rows > 3, rows < 7], dim=1))
    assert made.dtype == torch.bool and made.stride() == (1, 22)


def test_rows_taken_of_a_table_keep_its_layout(pool: State) -> None:
    index = torch.tensor([5, 2, 2])
    for table in (torch.rand(9, 4), columnwise(torch.rand(9, 4)), torch.rand(9)):
        taken = take_rows(table, index)
        assert torch.equal(taken, table[index])
        assert table.ndim == 1 or (taken.stride(0) == 1) == (table.stride(0) == 1)
    assert features(pool).stride(0) == 1


def test_without_a_limit_every_request_is_granted_without_a_queue() -> None:
    request, turn = torch.tensor([500, 0, 10**9]), torch.tensor([0.9, 0.1, 0.5])
    free, granted = Ledger.open(UNLIMITED, 3).grant(request, turn)
    bound, also = Ledger.open(UNLIMITED - 1, 3).grant(request, turn)
    assert not free.bounded and bound.bounded
    assert torch.equal(granted, also) and torch.equal(free.reserved, bound.reserved)
    assert int(bound.remaining) == int(free.remaining) - 1
