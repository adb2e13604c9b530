"""Work in a process of its own ends as what it is: a result, a refusal, a crash, a kill."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from campaigns.errors import InputError
from experiments.children import Child, Ended, Question, do_apart


def refuse() -> None:
    raise InputError("depth is 1.4")


def crash() -> None:
    raise RuntimeError("torn\napart")


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (refuse, "depth is 1.4"),
        (crash, "RuntimeError: torn apart"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "ended by SIGKILL; if that was SIGKILL, memory may"),
        (lambda: os._exit(3), "ended with code 3"),
    ],
)
def test_a_failure_of_any_kind_comes_back_as_one_line(work: Callable[[], Any], reason: str) -> None:
    ended = do_apart(work)
    assert reason in ended.reason and "\n" not in ended.reason
    assert ("crash" in ended.trace) == (work is crash)


def test_a_result_comes_back_from_another_process() -> None:
    ended = do_apart(os.getpid)
    assert ended.reason == "" and ended.result != os.getpid()


def test_a_child_waits_for_the_answers_to_its_questions() -> None:
    child = Child(lambda ask: [ask(number) for number in range(3)])
    for number in range(3):
        said = child.listen()
        assert said == Question(number)
        child.answer(10 * number)
    assert child.listen() == Ended([0, 10, 20])


def test_a_child_that_is_ended_is_gone_at_once() -> None:
    start = time.monotonic()
    child = Child(lambda _: time.sleep(60))
    child.end()
    assert time.monotonic() - start < 10
