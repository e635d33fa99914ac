"""Whether the provider has the models that are configured, and takes the key: one cheap GET for each, no answer."""

from collections.abc import Sequence
from urllib.parse import quote

import httpx

from application.ports.inspection import InspectModel, ModelFacts, NotInspected

GEMINI = "https://generativelanguage.googleapis.com"
SECONDS = 5.0
FOUND, NOT_FOUND = 200, 404
KEY_REFUSED = frozenset({401, 403})


class _Provider:
    def __init__(self, headers: dict[str, str], transport: httpx.BaseTransport | None) -> None:
        self._client = httpx.Client(timeout=SECONDS, headers=headers, transport=transport, trust_env=False)

    def status_of(self, url: str) -> tuple[int, bytes]:
        """Raises NotInspected when there is no answer, or one that says nothing of models."""
        try:
            response = self._client.get(url)
        except httpx.HTTPError as error:  # its text may hold the address, and that a secret
            raise NotInspected(type(error).__name__) from None
        # Google answers 400 for a key that is none.
        if response.status_code in KEY_REFUSED or b"API_KEY_INVALID" in response.content:
            raise NotInspected(f"the key is refused (status {response.status_code})")
        return response.status_code, response.content


class GeminiInspection(InspectModel):
    """``base_url``: another server that speaks the v1beta API. ``transport``: in place of the network."""

    def __init__(
        self,
        *,
        api_key: str,
        models: Sequence[str],
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._models = models
        self._base_url = (base_url or GEMINI).rstrip("/")
        self._provider = _Provider({"x-goog-api-key": api_key}, transport)

    def __call__(self) -> ModelFacts:
        return ModelFacts(self._models, [name for name in self._models if not self._is_there(name)])

    def _is_there(self, name: str) -> bool:
        path = name if "/" in name else f"models/{name}"
        status, _ = self._provider.status_of(f"{self._base_url}/v1beta/{quote(path)}")
        if status not in {FOUND, NOT_FOUND}:
            raise NotInspected(f"status {status}")
        return status == FOUND


class OpenAiInspection(InspectModel):
    """A server that speaks OpenAI's API: ``GET /models`` lists what it has. ``transport``: in place of the network."""

    def __init__(
        self, *, base_url: str, model: str, api_key: str | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._url = f"{base_url.rstrip('/')}/models"
        self._model = model
        self._provider = _Provider({"Authorization": f"Bearer {api_key}"} if api_key else {}, transport)

    def __call__(self) -> ModelFacts:
        status, body = self._provider.status_of(self._url)
        if status != FOUND:
            raise NotInspected(f"status {status}")
        there = f'"{self._model}"'.encode() in body
        return ModelFacts([self._model], [] if there else [self._model])
