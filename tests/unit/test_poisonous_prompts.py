"""Prompts that make a healthy provider fail do not close the model for those who ask for something else."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from adapters.llm.circuit_breaker import LanguageModelBreaker
from application.chat.send_message import SentMessage
from application.ports.language_model import LanguageModel, Prompt, Stop
from domain.accounts import Principal
from domain.replies import Answer, AnswerFailed, FailureReason, ReplyState
from tests.builders import House

SECOND = timedelta(seconds=1)


class Provider(LanguageModel):
    """Fails at prompts of poison, and at all while it is ``down``."""

    def __init__(self) -> None:
        self.down = False
        self.calls = 0

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        self.calls += 1
        if self.down or prompt.text == "poison":
            raise AnswerFailed(FailureReason.MODEL_UNREACHABLE, status=500)
        on_chunk(f"echo: {prompt.text}")
        return Answer(f"echo: {prompt.text}", "m")


class Town:
    """A house with the breaker of the service, in which seconds pass as a worker takes them."""

    def __init__(self) -> None:
        self.provider = Provider()
        self.house = House(
            basic_daily_prompts=1_000, language_model=lambda clock: LanguageModelBreaker(self.provider, clock=clock)
        )
        self._people = 0

    def newcomer(self) -> Principal:
        self._people += 1
        return self.house.user(f"+91987654{self._people:04}")

    def say(self, who: Principal, text: str) -> SentMessage:
        return self.house.say(who, self.house.room(who), text)

    def state(self, sent: SentMessage) -> ReplyState:
        return self.house.reply(sent).state

    def a_second_passes(self) -> None:
        self.house.work()
        self.house.clock.advance(SECOND)

    def seconds_until_answered(self, sent: SentMessage, *, meanwhile: Callable[[], None] = lambda: None) -> int:
        for seconds in range(300):
            self.house.work()
            if self.state(sent) is ReplyState.DONE:
                return seconds
            meanwhile()
            self.house.clock.advance(SECOND)
        raise AssertionError("not answered before its deadline")


class Loop:
    """People who have ``each`` poisonous prompts under way all the time."""

    def __init__(self, town: Town, people: Sequence[Principal], *, each: int) -> None:
        self._town = town
        self._people = people
        self._each = each
        self._sent: dict[Principal, list[SentMessage]] = {who: [] for who in people}

    def __call__(self) -> None:
        for who in self._people:
            self._sent[who] = [sent for sent in self._sent[who] if not self._town.state(sent).final]
            while len(self._sent[who]) < self._each:
                self._sent[who].append(self._town.say(who, "poison"))


def test_two_users_with_poisonous_prompts_delay_nobody_else():
    town = Town()
    poison = Loop(town, [town.newcomer(), town.newcomer()], each=10)
    other = town.newcomer()
    for _ in range(60):
        poison()
        town.a_second_passes()
        assert town.seconds_until_answered(town.say(other, "hello")) == 0


@pytest.mark.parametrize("people", [3, 5])
def test_more_of_them_delay_others_once_until_the_next_probe(people: int):
    town = Town()
    poison = Loop(town, [town.newcomer() for _ in range(people)], each=2)
    for _ in range(20):
        poison()
        town.a_second_passes()
    healthy = [town.newcomer(), town.newcomer()]
    assert town.seconds_until_answered(town.say(healthy[0], "hello"), meanwhile=poison) <= 11
    for _ in range(60):
        poison()
        town.a_second_passes()
        assert town.seconds_until_answered(town.say(healthy[1], "hello"), meanwhile=poison) == 0


@pytest.mark.parametrize("people", [1, 2, 3, 10])
def test_a_provider_that_is_down_is_soon_left_alone_whoever_asks(people: int):
    town = Town()
    town.provider.down = True
    for who in [town.newcomer() for _ in range(people)]:
        for _ in range(20):
            town.say(who, "hello")
    for _ in range(60):
        town.a_second_passes()
    # Nine until it is open for one after the other, and then a probe every ten seconds.
    assert town.provider.calls <= 9 + 6


@pytest.mark.parametrize("people", [1, 2, 3, 10])
def test_and_once_it_is_back_everybody_is_answered(people: int):
    town = Town()
    town.provider.down = True
    sent = [town.say(who, "hello") for who in [town.newcomer() for _ in range(people)] for _ in range(5)]
    for _ in range(20):
        town.a_second_passes()
    town.provider.down = False
    waiting = [one for one in sent if town.state(one) is not ReplyState.FAILED]
    for _ in range(20):
        town.a_second_passes()
    assert len(waiting) >= len(sent) - 3
    assert {town.state(one) for one in waiting} == {ReplyState.DONE}
