"""Which part of a conversation goes along with a prompt."""

from collections.abc import Iterable, Sequence

from application.ports.language_model import Exchange

# Tokens that a character takes, roughly, in the scripts from that code point on; emoji take two. An estimate for
# planning: what counts is that it is not four times too low for Hindi or Chinese.
TOKENS_PER_CHARACTER = ((0x1F000, 2.0), (0x0900, 1.0), (0x0250, 0.5), (0, 0.25))
# Of an exchange that is cut, this share of the budget is for the prompt: what was answered matters more to "continue".
PROMPT_SHARE = 0.25
CUT = "…"


def estimated_tokens(text: str) -> float:
    """An estimate of the tokens of ``text``, by its scripts."""
    if text.isascii():
        return len(text) * TOKENS_PER_CHARACTER[-1][1]
    return sum(_tokens_of(character) for character in text)


def within_budget(newest_first: Iterable[Exchange], *, tokens: int) -> Sequence[Exchange]:
    """The exchanges to send, oldest first: at most about ``tokens`` of them.

    The newest exchange always goes along, cut where it has to be: its end is what "continue" is about. An older one
    that does not fit is left out, and smaller ones before it are not.
    """
    if tokens <= 0:
        return ()
    kept: list[Exchange] = []
    left = float(tokens)
    for whole in newest_first:
        exchange = whole if kept else _cut(whole, left)
        needed = estimated_tokens(exchange.prompt) + estimated_tokens(exchange.answer)
        if needed <= left or not kept:
            kept.append(exchange)
            left -= needed
    return kept[::-1]


def _cut(exchange: Exchange, tokens: float) -> Exchange:
    prompt_tokens, answer_tokens = estimated_tokens(exchange.prompt), estimated_tokens(exchange.answer)
    if prompt_tokens + answer_tokens <= tokens:
        return exchange
    prompt = _beginning(exchange.prompt, max(tokens * PROMPT_SHARE, tokens - answer_tokens))
    answer = _end(exchange.answer, tokens - estimated_tokens(prompt))
    return Exchange(prompt, answer)


def _beginning(text: str, tokens: float) -> str:
    if estimated_tokens(text) <= tokens:
        return text
    return text[: _fitting(text, tokens - estimated_tokens(CUT))] + CUT


def _end(text: str, tokens: float) -> str:
    if estimated_tokens(text) <= tokens:
        return text
    return CUT + text[len(text) - _fitting(reversed(text), tokens - estimated_tokens(CUT)) :]


def _fitting(characters: Iterable[str], tokens: float) -> int:
    """How many of the characters fit into ``tokens``."""
    fitting = 0
    for character in characters:
        tokens -= _tokens_of(character)
        if tokens < 0:
            break
        fitting += 1
    return fitting


def _tokens_of(character: str) -> float:
    code_point = ord(character)
    return next(tokens for first, tokens in TOKENS_PER_CHARACTER if code_point >= first)
