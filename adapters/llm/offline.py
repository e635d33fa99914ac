"""A stand-in for the model that needs no account and says that it is one."""

from collections.abc import Callable
from datetime import timedelta

from application.ports.language_model import AnswerStopped, LanguageModel, Prompt, Stop
from domain.replies import Answer

MODEL = "offline"
QUOTED_CHARACTERS = 280


class OfflineLanguageModel(LanguageModel):
    """Answers at once, the same to the same prompt, so that the whole service can be tried without a key."""

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        words = prompt.text.split()
        chunks = (
            "I am the offline stand-in of this chat backend, not Gemini: set GEMINI_API_KEY to hear the real model. ",
            f"You wrote {len(words)} {'word' if len(words) == 1 else 'words'}: ",
            f"“{_quotation(' '.join(words))}”",
        )
        for chunk in chunks:
            if stop.requested:
                raise AnswerStopped
            on_chunk(chunk)
        text = "".join(chunks)
        return Answer(text, MODEL, input_tokens=len(words), output_tokens=len(text.split()))


def _quotation(text: str) -> str:
    return text if len(text) <= QUOTED_CHARACTERS else text[: QUOTED_CHARACTERS - 1] + "…"
