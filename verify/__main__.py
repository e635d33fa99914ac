"""python -m verify URL."""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from verify import report
from verify.checks import Check
from verify.http import Http, Log
from verify.masking import Masker
from verify.outcomes import Failed
from verify.run import ALL, Left, Result, leave, run
from verify.world import Options, World

PASSED, FAILED, COULD_NOT_RUN = 0, 1, 2

ENVIRONMENT = """\
environment:
  VERIFY_TOKEN, VERIFY_TOKEN_2   access tokens of two users, where codes are sent as text messages;
                                 checks that need new users are left out
  VERIFY_WEBHOOK_SECRET          signing secret of the webhook

status: 0 all that was looked at passed; 1 something failed; 2 it could not run
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m verify",
        description="Check a deployment of the chat API from outside.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("url", nargs="?", help="where the service is, such as https://chat.example.com")
    made.add_argument("--only", action="append", default=[], metavar="NAME", help="this check; may be repeated")
    made.add_argument("--list", action="store_true", help="list the checks, and run none")
    made.add_argument(
        "--plain", action="store_true", help="only what both specifications of this API promise; see docs/verify.md"
    )
    made.add_argument("--json", action="store_true", help="print one JSON object, with all exchanges")
    made.add_argument("--verbose", action="store_true", help="print all exchanges, not only those of failures")
    made.add_argument("--unmasked", action="store_true", help="print tokens, codes and numbers as well")
    made.add_argument("--test-payments", action="store_true", help="payments are tests: a checkout may be opened")
    made.add_argument("--origin", default="", help="an origin whose pages may call (CORS)")
    made.add_argument("--quota", type=int, default=Options.quota, help="prompts a day of a free user (%(default)s)")
    made.add_argument("--number-prefix", default=Options.number_prefix, help="of numbers of new users (%(default)s)")
    made.add_argument(
        "--number-digits", type=int, default=Options.number_digits, help="digits of these numbers (%(default)s)"
    )
    made.add_argument("--timeout", type=float, default=15, help="seconds for one request (%(default)s)")
    made.add_argument(
        "--reply-within", type=float, default=Options.reply_within, help="seconds for a reply (%(default)s)"
    )
    made.add_argument("--deadline", type=float, default=300, help="seconds for all checks (%(default)s)")
    return made


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the checks and print what came of them; the exit status."""
    options = parser().parse_args(arguments)
    if options.list:
        for check in ALL:
            _say(f"{check.name:<18} {check.promise}")
        return PASSED
    checks = chosen(options.only)
    fault = _fault(options.url, options.only, checks)
    if fault:
        return _cannot_run(fault)
    masker = Masker(is_on=not options.unmasked)
    world = _world(options, environment, masker)
    try:
        world.get("/")
    except (Failed, ValueError) as error:
        return _cannot_run(str(error))
    began = time.monotonic()
    results: list[Result] = []
    try:
        for result in run(checks, world):
            results.append(result)
            if not options.json:
                for line in report.lines_of(result, masker, with_exchanges=options.verbose):
                    _say(line)
    finally:
        left = leave(world)
    _say_end(options, results, left, time.monotonic() - began, masker)
    return FAILED if any(result.outcome == "failed" for result in results) else PASSED


def chosen(names: Sequence[str]) -> list[Check]:
    return [check for check in ALL if not names or check.name in names]


def _fault(url: str | None, names: Sequence[str], checks: Sequence[Check]) -> str:
    """What is wrong with the command line; empty if nothing is."""
    parts = urlsplit(url or "")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        return "say where the service is, such as https://chat.example.com"
    unknown = {*names} - {check.name for check in checks}
    return f"there is no check {', '.join(sorted(unknown))}; --list lists them" if unknown else ""


def _world(options: argparse.Namespace, environment: Mapping[str, str], masker: Masker) -> World:
    deadline = time.monotonic() + options.deadline
    given = (environment.get(name, "") for name in ("VERIFY_TOKEN", "VERIFY_TOKEN_2"))
    tokens = tuple(token for token in given if token)
    secret = environment.get("VERIFY_WEBHOOK_SECRET", "")
    masker.hide(*tokens, secret)
    chosen_options = Options(
        tokens=tokens,
        number_prefix=options.number_prefix,
        number_digits=options.number_digits,
        quota=options.quota,
        origin=options.origin,
        webhook_secret=secret,
        payments_are_tests=options.test_payments,
        reply_within=options.reply_within,
        plain=options.plain,
    )
    http = Http(options.url, timeout=options.timeout, deadline=deadline, log=Log())
    return World(http, chosen_options, masker)


def _say_end(
    options: argparse.Namespace, results: Sequence[Result], left: Left, seconds: float, masker: Masker
) -> None:
    if options.json:
        _say(report.as_json(options.url, results, left, seconds, masker))
        return
    _say("")
    for line in report.summary(results, left, seconds):
        _say(line)


def _cannot_run(why: str) -> int:
    sys.stderr.write(f"Could not run: {why}\n")
    return COULD_NOT_RUN


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
