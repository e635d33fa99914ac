"""A stand-in for the model that needs no account and says that it is one."""

from datetime import timedelta

from domain.replies import Answer

MODEL = "offline"
QUOTED_CHARACTERS = 280


class OfflineLanguageModel:
    """Answers at once, the same to the same prompt, so that the whole service can be tried without a key."""

    def answer(self, prompt: str, *, within: timedelta) -> Answer:
        """Says what it is and what it was told."""
        words = prompt.split()
        quoted = " ".join(words)
        if len(quoted) > QUOTED_CHARACTERS:
            quoted = quoted[: QUOTED_CHARACTERS - 1] + "…"
        text = (
            "I am the offline stand-in of this chat backend, not Gemini: set GEMINI_API_KEY to hear the real model. "
            f"You wrote {len(words)} {'word' if len(words) == 1 else 'words'}: “{quoted}”"
        )
        return Answer(text, MODEL, input_tokens=len(words), output_tokens=len(text.split()))
