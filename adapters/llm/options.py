"""What the operator wants of every call."""

from dataclasses import dataclass
from typing import Any

# ai.google.dev/gemini-api/docs/safety-settings
SAFETY_CATEGORIES = (
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
)


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """None: the provider's own default. Tokens of output, thoughts included; tokens of thoughts; and the threshold at
    which Gemini withholds an answer, by its own name.
    """

    max_output_tokens: int | None = None
    thinking_budget: int | None = None
    safety: str | None = None

    def safety_settings(self) -> list[dict[str, Any]]:
        """As Gemini takes them."""
        if self.safety is None:
            return []
        return [{"category": category, "threshold": self.safety} for category in SAFETY_CATEGORIES]


DEFAULTS = ModelOptions()
