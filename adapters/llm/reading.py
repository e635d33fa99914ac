"""What was read so far of an answer."""

from abc import ABC, abstractmethod
from typing import Any

from adapters.llm.answer_text import Chunks, count_of
from adapters.llm.finish_reasons import Ending, ending_of, failure_by, word_of
from adapters.llm.provider_errors import ProviderError, machine_word
from domain.replies import Answer


class Reading(ABC):
    """The parts of an answer that all providers have. Each has its own way to write them."""

    def __init__(self, model: str, chunks: Chunks) -> None:
        self.model = model
        self.chunks = chunks
        self._ending: Ending | None = None
        self._reason = ""
        self._input_tokens: int | None = None
        self._output_tokens: int | None = None

    @property
    def ended(self) -> bool:
        """Whether there is a finish reason."""
        return self._ending is not None

    @abstractmethod
    def read(self, value: Any) -> None:
        """Take what has come. AnswerFailed for an error; any error of the wrong type for what is no answer."""

    def answer(self) -> Answer:
        """The answer. AnswerFailed when it was refused, has not ended or is empty."""
        if failure := failure_by(self._ending, machine_word(self._reason)):
            raise failure
        return Answer(
            text=self.chunks.whole(),
            model=self.model,
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
            truncated=self._ending is Ending.TRUNCATED,
        )

    def end(self) -> None:
        """The provider says that this is all."""
        if self._ending is None:
            self._ending = Ending.DONE

    def finish(self, reason: Any) -> None:
        """The finish reason of this part; a refusal is not taken back by a later one."""
        ending = ending_of(reason)
        if ending is not None and self._ending is not Ending.REFUSED:
            self._ending, self._reason = ending, word_of(reason)

    def refuse(self) -> None:
        self._ending = Ending.REFUSED

    def fail(self, error: Any) -> None:
        """An error in the place of a part. After the end it changes nothing."""
        if not self.ended:
            raise ProviderError.of_stream(error).failure(begun=bool(self.chunks))

    def count(self, *, prompt: Any, answer: Any, total: Any) -> None:
        """The numbers of tokens. What a model thinks is paid for as output, and some leave it out of the answer's."""
        self._input_tokens = count_of(prompt)
        self._output_tokens = count_of(answer)
        if self._input_tokens is not None and (all_of_it := count_of(total)) is not None:
            beyond_prompt = all_of_it - self._input_tokens
            if beyond_prompt > (self._output_tokens or 0):
                self._output_tokens = beyond_prompt
