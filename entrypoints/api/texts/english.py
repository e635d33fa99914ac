"""English. The texts of problems stand in the registry of problems itself."""

from entrypoints.api.problem_registry import PROBLEMS
from entrypoints.api.texts.catalogue import HOUR, MINUTE, Catalogue, PageText, ProblemTexts, in_units

UNITS = {HOUR: "hour", MINUTE: "minute", 1: "second"}


def duration(seconds: int) -> str:
    number, unit = in_units(seconds)
    return f"{number} {UNITS[unit]}{'' if number == 1 else 's'}"


ENGLISH = Catalogue(
    problems={
        code: ProblemTexts(kind.title, kind.why, kind.what_to_do, kind.occurrence) for code, kind in PROBLEMS.items()
    },
    pages={
        PageText.HOME_TITLE: "Gemini-style chat backend",
        PageText.HOME: (
            "This is a service for programs: one-time passwords, chatrooms, replies of a language model, a paid plan."
        ),
        PageText.CHAT_HERE: "Chat here",
        PageText.LINK_DOCS: "The API: every request, to read and to try",
        PageText.LINK_OPENAPI: "The same as OpenAPI 3.1, for generators of clients",
        PageText.LINK_PROBLEMS: "What each error means, and what to do",
        PageText.LINK_LIVE: "Whether this process answers",
        PageText.LINK_READY: "Whether the service can work, and if not, why",
        PageText.PROBLEMS_TITLE: "Problems",
        PageText.PROBLEMS: (
            "Every error of this API has one of these codes. Programs act on the code; each page says what to do."
        ),
        PageText.STATUS: "Status",
        PageText.CODE: "Code",
        PageText.WHAT_HAPPENED: "What happened",
        PageText.WHY: "Why",
        PageText.WHAT_TO_DO: "What to do",
        PageText.EXAMPLE: "Example",
        PageText.ALL_PROBLEMS: "All problems",
        PageText.THE_API: "The API",
        PageText.IS_PRO_TITLE: "You are Pro",
        PageText.IS_PRO: "Thank you. Your subscription is active; you can close this page.",
        PageText.PAID_TITLE: "Thank you",
        PageText.PAID: "Your payment is confirmed in a moment; see /subscription/status.",
        PageText.NOT_BOUGHT_TITLE: "Nothing was bought",
        PageText.NOT_BOUGHT: "You can subscribe at any time.",
    },
    duration=duration,
)
