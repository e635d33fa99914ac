"""What is printed: lines for people, or one object for programs. Secrets are masked in both."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from verify.http import Exchange
from verify.masking import Masker
from verify.run import Left, Result

LABELS = {"passed": "pass", "failed": "FAIL", "left out": "left out"}
SHOWN_CHARACTERS = 2000


def lines_of(result: Result, masker: Masker, *, with_exchanges: bool) -> Iterator[str]:
    """A check, why it failed or was left out, and its exchanges where it failed or they are wanted."""
    yield f"{LABELS[result.outcome]:<8}  {result.check.name:<18} {result.check.promise}"
    if result.reason:
        yield f"{'':10}{masker.text(result.reason)}"
    if with_exchanges or result.outcome == "failed":
        for exchange in result.exchanges:
            yield from (f"{'':10}{line}" for line in _exchange_lines(exchange, masker))


def summary(results: Sequence[Result], left: Left, seconds: float) -> Iterator[str]:
    counts = Counter(result.outcome for result in results)
    yield f"{counts['passed']} passed, {counts['failed']} failed, {counts['left out']} left out, in {seconds:.1f} s."
    yield f"Users made: {left.made}, erased: {left.erased}."
    for one in left.stay:
        yield f"NOT REMOVED: {one}"


def as_json(url: str, results: Sequence[Result], left: Left, seconds: float, masker: Masker) -> str:
    """The whole run as one object."""
    counts = Counter(result.outcome for result in results)
    run = {
        "url": url,
        "passed": counts["passed"],
        "failed": counts["failed"],
        "leftOut": counts["left out"],
        "seconds": round(seconds, 3),
        "users": {"made": left.made, "erased": left.erased},
        "notRemoved": left.stay,
        "checks": [_result_json(result, masker) for result in results],
    }
    return json.dumps(run, indent=2, ensure_ascii=False)


def _result_json(result: Result, masker: Masker) -> dict[str, Any]:
    return {
        "name": result.check.name,
        "promise": result.check.promise,
        "outcome": result.outcome,
        "reason": masker.text(result.reason),
        "seconds": round(result.seconds, 3),
        "exchanges": [_exchange_json(exchange, masker) for exchange in result.exchanges],
    }


def _exchange_json(exchange: Exchange, masker: Masker) -> dict[str, Any]:
    return {
        "request": {
            "method": exchange.method,
            "url": masker.text(exchange.url),
            "headers": [[name, masker.header(name, value)] for name, value in exchange.sent_headers.items()],
            "body": _shown(exchange.sent, masker),
        },
        "response": {
            "status": exchange.status or None,
            "headers": [[name, masker.header(name, value)] for name, value in exchange.headers],
            "body": _shown(exchange.body, masker),
        },
        "note": exchange.note,
    }


def _exchange_lines(exchange: Exchange, masker: Masker) -> Iterator[str]:
    yield f"> {exchange.method} {masker.text(exchange.url)}"
    yield from (f"> {name}: {masker.header(name, value)}" for name, value in exchange.sent_headers.items())
    yield from (f"> {line}" for line in _shown(exchange.sent, masker).splitlines())
    yield f"< {exchange.status or exchange.note}"
    yield from (f"< {name}: {masker.header(name, value)}" for name, value in exchange.headers)
    yield from (f"< {line}" for line in _shown(exchange.body, masker).splitlines())
    yield ""


def _shown(body: bytes, masker: Masker) -> str:
    # Masked before it is cut: half of a secret would not be known as one.
    text = masker.text(body.decode("utf-8", "replace"))
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(body)} bytes)"
