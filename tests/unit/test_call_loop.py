"""What the adapters of language models share."""

import asyncio
import time
from datetime import timedelta

import pytest

from adapters.llm.answer_text import storable
from adapters.llm.call_loop import CallLoop, Delivery, write_in_thread
from application.ports.language_model import AnswerStopped, Stop
from domain.replies import Answer, AnswerFailed, AnswerOverdue, FailureReason

LONG = timedelta(seconds=30)
ANSWER = Answer("ab", "m")


def test_a_faster_provider_than_listener_does_not_outlive_the_time():
    """Chunks that come without end, each in time."""
    delivery = Delivery()

    def listen(chunk: str) -> None:
        delivery.chunk(chunk)
        delivery.flush()
        delivery.chunk(chunk)
        delivery.flush()

    delivery.chunk("a")
    delivery.flush()
    with pytest.raises(AnswerFailed) as failed:
        delivery.wait(within=timedelta(seconds=0.1), stop=Stop(), on_chunk=listen)
    assert failed.value.reason is FailureReason.MODEL_UNREACHABLE
    assert delivery.over


def test_a_provider_that_goes_silent_ends_the_call():
    delivery = Delivery(idle=timedelta(seconds=0.05))
    with pytest.raises(AnswerFailed) as failed:
        delivery.wait(within=LONG, stop=Stop(), on_chunk=lambda chunk: None)
    assert failed.value.reason is FailureReason.MODEL_UNREACHABLE
    assert not isinstance(failed.value, AnswerOverdue)


def test_any_sign_of_life_keeps_the_call_going():
    """Nothing is heard by the user while the model thinks."""
    calls = CallLoop("test", idle=timedelta(seconds=0.3))

    async def think(delivery: Delivery) -> Answer:
        for _ in range(12):
            await asyncio.sleep(0.05)
            delivery.is_alive()
        return ANSWER

    assert calls.write(think, within=LONG, stop=Stop(), on_chunk=lambda chunk: None) is ANSWER
    calls.close()


@pytest.mark.parametrize(("within", "idle"), [(0.1, 30), (30, 0.1)])
def test_a_call_cut_off_after_the_provider_had_begun_is_overdue(within: float, idle: float):
    delivery = Delivery(idle=timedelta(seconds=idle))
    delivery.is_alive()
    with pytest.raises(AnswerOverdue):
        delivery.wait(within=timedelta(seconds=within), stop=Stop(), on_chunk=lambda chunk: None)


def test_pieces_before_the_end_are_all_heard():
    delivery = Delivery()
    heard: list[str] = []
    for chunk in ("a", "", "b"):
        delivery.chunk(chunk)
    delivery.flush()
    delivery.chunk("c")
    delivery.end(ANSWER)
    assert delivery.wait(within=LONG, stop=Stop(), on_chunk=heard.append) is ANSWER
    assert heard == ["a", "b", "c"]


def test_a_stop_goes_before_what_has_come():
    delivery, stop = Delivery(), Stop()
    delivery.chunk("a")
    delivery.flush()
    delivery.end(ANSWER)
    stop.request()
    with pytest.raises(AnswerStopped):
        delivery.wait(within=LONG, stop=stop, on_chunk=lambda chunk: None)


def test_a_fault_in_a_thread_is_raised_where_it_is_waited_for():
    def fail(delivery: Delivery) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_in_thread(fail, name="test", within=LONG, idle=LONG, stop=Stop(), on_chunk=lambda chunk: None)


def test_a_loop_that_is_stuck_blocks_no_caller():
    calls = CallLoop("test")

    async def stuck(delivery: Delivery) -> Answer:
        time.sleep(0.5)  # noqa: ASYNC251 - that is the fault
        return ANSWER

    with pytest.raises(AnswerFailed):
        calls.write(stuck, within=timedelta(seconds=0.05), stop=Stop(), on_chunk=lambda chunk: None)
    calls.close()


def test_a_call_that_is_over_is_cancelled_and_forgotten():
    calls = CallLoop("test")
    seen: list[str] = []

    async def wait(delivery: Delivery) -> Answer:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return ANSWER

    with pytest.raises(AnswerFailed):
        calls.write(wait, within=timedelta(seconds=0.05), stop=Stop(), on_chunk=lambda chunk: None)
    calls.close()
    calls.close()
    assert seen == ["cancelled"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [("abc", "abc"), ("", ""), ("a\x00b", "ab"), ("ä🙂", "ä🙂"), ("a\ud83d", "a?"), ("\x00", "")],
)
def test_what_can_be_stored(text: str, kept: str):
    assert storable(text) == kept
