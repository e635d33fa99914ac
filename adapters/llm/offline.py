from collections.abc import Callable
from datetime import timedelta

from application.ports.language_model import AnswerStopped, LanguageModel, Prompt, Stop
from domain.replies import Answer

MODEL = "offline"
QUOTED_CHARACTERS = 280


class OfflineLanguageModel(LanguageModel):
    """Needs no account: answers at once, always the same to the same prompt, and says that it is no real model."""

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
