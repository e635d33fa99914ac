"""Whether the provider has the models that are configured, and takes the key: one cheap GET for each, no answer."""

from collections.abc import Sequence
from urllib.parse import quote

import httpx

from adapters.llm.connections import authorities, proxy_of
from adapters.llm.gemini import api_of, path_of
from application.ports.inspection import InspectModel, ModelFacts, NotInspected

SECONDS = 5.0
FOUND, NOT_FOUND = 200, 404
KEY_REFUSED = frozenset({401, 403})


class _Provider:
    """Is reached as the worker reaches it: by the same proxy, trusting the same authorities."""

    def __init__(self, url: str, headers: dict[str, str], transport: httpx.BaseTransport | None) -> None:
        self._client = httpx.Client(
            timeout=SECONDS,
            headers=headers,
            transport=transport or httpx.HTTPTransport(verify=authorities(), proxy=proxy_of(url)),
            trust_env=False,
        )

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
    """``base_url``: as of GeminiLanguageModel. ``transport``: in place of the network."""

    def __init__(
        self,
        *,
        api_key: str,
        models: Sequence[str],
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._models = models
        self._api = api_of(base_url)
        self._provider = _Provider(self._api, {"x-goog-api-key": api_key}, transport)

    def __call__(self) -> ModelFacts:
        return ModelFacts(self._models, [name for name in self._models if not self._is_there(name)])

    def _is_there(self, name: str) -> bool:
        status, _ = self._provider.status_of(f"{self._api}/{quote(path_of(name))}")
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
        self._provider = _Provider(self._url, {"Authorization": f"Bearer {api_key}"} if api_key else {}, transport)

    def __call__(self) -> ModelFacts:
        status, body = self._provider.status_of(self._url)
        if status != FOUND:
            raise NotInspected(f"status {status}")
        there = f'"{self._model}"'.encode() in body
        return ModelFacts([self._model], [] if there else [self._model])
