"""A model that the service may not use is its operator's to mend, so the operator is told."""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock

import structlog

from application.ports.language_model import LanguageModel, Prompt, Stop
from application.ports.runtime import Clock
from domain.replies import Answer, AnswerFailed, FailureReason

log = structlog.get_logger(__name__)

OPERATORS_FAULT = frozenset({FailureReason.MODEL_MISCONFIGURED, FailureReason.MODEL_NOT_FOUND})
LOGGED_EVERY = timedelta(minutes=1)

# The reason, and the provider's status and words for it.
_Fault = tuple[FailureReason, int | None, str | None]


class MisconfigurationWatch(LanguageModel):
    """Logs failures that are the operator's fault: each kind at most once in ``LOGGED_EVERY``."""

    def __init__(self, model: LanguageModel, *, clock: Clock) -> None:
        self._model = model
        self._clock = clock
        self._lock = Lock()
        self._found = False
        self._logged_at: dict[_Fault, datetime] = {}

    def is_misconfigured(self) -> bool:
        """Whether such a failure was found and no call has succeeded since."""
        return self._found

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        try:
            answer = self._model.write(prompt, within=within, stop=stop, on_chunk=on_chunk)
        except AnswerFailed as failure:
            if failure.reason in OPERATORS_FAULT:
                self._found = True
                self._tell(failure)
            raise
        self._found = False
        return answer

    def _tell(self, failure: AnswerFailed) -> None:
        fault, now = (failure.reason, failure.status, failure.code), self._clock()
        with self._lock:
            recent = {kind: at for kind, at in self._logged_at.items() if now < at + LOGGED_EVERY}
            self._logged_at = {fault: now} | recent
        if fault not in recent:
            log.error(
                "model_misconfigured",
                reason=failure.reason.value,
                provider_status=failure.status,
                provider_code=failure.code,
                model=failure.model,
            )
