"""Whether a request costs more where there is much: the same five requests of two databases, a small one and a big one.

make bench-growth
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from contenders import Running, database_of
from endpoints import measured
from figures import MOST_GROWTH, Cell, Growth, busy_note, growth_table
from load import generator
from people import Person, Requests, known, queue
from stage import Stage, answers, busy_share, free_port, keep_all_to, split_cores, stage, until

from adapters.sql.migrate import upgrade

Pair = tuple[list[Cell], list[Cell]]
# As many of each sort, so that they wait for each other's rows as often.
USERS = 8
WARM_UP_SECONDS = 1
RESULTS = Path(__file__).parent / "results"

# Users of one sort, told apart by their numbers' beginning, with so many chatrooms each.
PEOPLE = """
WITH person AS (
    INSERT INTO users (id, phone, name, created_at, verified_at)
    SELECT gen_random_uuid(), %(sort)s || lpad(n::text, 9, '0'), 'Bench', now(), now()
    FROM generate_series(1, %(users)s) n RETURNING id
), login AS (
    INSERT INTO sessions (id, user_id, method, started_at, expires_at, last_used_at)
    SELECT gen_random_uuid(), id, 'otp', now(), now() + interval '1 day', now() FROM person
)
INSERT INTO chatrooms (id, user_id, name, created_at, updated_at)
SELECT gen_random_uuid(), id, 'Chatroom number ' || n, now(), now() FROM person, generate_series(1, %(rooms)s) n
"""
# So many answered messages in the first chatroom of each.
TURNS = """
ALTER TABLE messages DISABLE TRIGGER number_entry; ALTER TABLE replies DISABLE TRIGGER number_entry;
CREATE TEMPORARY TABLE room ON COMMIT DROP AS
    SELECT DISTINCT ON (user_id) c.id, user_id FROM chatrooms c JOIN users u ON u.id = user_id
    WHERE u.phone LIKE %(sort)s || '%%' ORDER BY user_id, c.id;
INSERT INTO messages (id, chatroom_id, content, created_at, sequence)
    SELECT gen_random_uuid(), room.id, 'What do you think of the plan, in short?', now(), 2 * n - 1
    FROM room, generate_series(1, %(turns)s) n;
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, attempt, run, available_at, deadline, charged_on,
                     content, model, input_tokens, output_tokens, created_at, started_at, finished_at, sequence)
    SELECT gen_random_uuid(), m.id, room.id, room.user_id, 'done', 1, 1, now(), now(), current_date,
           repeat('It depends on what you want to reach. ', 6), 'gemini-flash-latest', 20, 60, now(), now(), now(),
           m.sequence + 1
    FROM messages m JOIN room ON room.id = m.chatroom_id;
UPDATE chatrooms SET last_sequence = 2 * %(turns)s FROM room WHERE room.id = chatrooms.id;
ALTER TABLE messages ENABLE TRIGGER number_entry; ALTER TABLE replies ENABLE TRIGGER number_entry
"""
# What a round has added is taken away, but for the replies that wait on purpose.
TIDY = """
UPDATE replies SET state = 'done', content = 'Yes.', model = 'bench', finished_at = now()
WHERE state = 'queued' AND created_at > now() - interval '1 hour';
DELETE FROM chatrooms WHERE name = 'Bench'
"""
FEW, MANY_ROOMS, LONG, WAITING, BESIDE = "+999", "+998", "+997", "+996", "+995"


def fill(here: Stage, sort: str, *, users: int = USERS, rooms: int, turns: int) -> list[Person]:
    """Users with so many chatrooms each, one of them with so many turns."""
    here.query(PEOPLE, {"sort": sort, "users": users, "rooms": rooms})
    here.query(TURNS, {"sort": sort, "turns": turns})
    return known(here, sort)


@contextmanager
def web(here: Stage, requests: Requests, prefix: str, cores: list[int]) -> Iterator[Running]:
    """A process with limits that are not met."""
    port = free_port()
    settings = {
        **requests.settings(port),
        "RATE_LIMIT_PER_USER": "0",
        "RATE_LIMIT_PER_ADDRESS": "0",
        "MAX_CHATROOMS_PER_USER": "1000000",
        "MAX_MESSAGES_PER_USER": "10000000",
        "KEY_PREFIX": prefix,
    }
    with here.running("-m", "entrypoints.cli", "web", cores=cores, **settings) as process:
        until(lambda: answers(f"http://127.0.0.1:{port}/health/live"))
        yield Running("ours", port, process)


def grow(small: Stage, big: Stage, options: argparse.Namespace) -> Growth:
    """Everything measured, the small database in turn with the big one."""
    core, others = split_cores()
    keep_all_to(others)
    requests = Requests()
    few = fill(small, FEW, rooms=20, turns=25)
    fill(small, BESIDE, users=20, rooms=1, turns=25)
    sorts = {
        f"{options.beside:,} messages beside": fill(big, FEW, rooms=20, turns=25),
        f"{options.rooms:,} chatrooms": fill(big, MANY_ROOMS, rooms=options.rooms, turns=25),
        f"{options.messages:,} entries": fill(big, LONG, rooms=20, turns=options.messages // 2),
    }
    fill(big, BESIDE, users=options.beside // 100, rooms=1, turns=100)
    for one in (small, big):
        one.run_alone("VACUUM ANALYZE")
    with web(small, requests, "small:", core) as here, web(big, requests, "big:", core) as there:

        def side_by_side(sorts: Mapping[str, Sequence[Person]]) -> dict[str, dict[str, Pair]]:
            found: dict[str, dict[str, Pair]] = {}
            kinds = requests.endpoints(few, few)
            for number in range(-1, options.rounds):
                for place, kind in enumerate(kinds):
                    pairs = found.setdefault(kind.name, {name: ([], []) for name in sorts})
                    seconds = options.seconds if number >= 0 else WARM_UP_SECONDS
                    little = measured(here, kind.requests, seconds)
                    for name, people in sorts.items():
                        much = measured(there, requests.endpoints(people, people)[place].requests, seconds)
                        if number >= 0:
                            pairs[name][0].append(much)
                            pairs[name][1].append(little)
                    small.query(TIDY)
                    big.query(TIDY)
                print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            return found

        found = side_by_side(sorts)
        queue(big, options.waiting, sort=WAITING, waited=timedelta(days=1))
        # Otherwise the first messages pay for the vacuum that so many new rows call for.
        big.run_alone("VACUUM ANALYZE")
        waiting = side_by_side({f"{options.waiting:,} replies waiting": next(iter(sorts.values()))})
    return {kind: {**pairs, **waiting[kind]} for kind, pairs in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the service")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rooms", type=int, default=5_000, help="chatrooms of a user; small: 20")
    parser.add_argument("--messages", type=int, default=100_000, help="messages and replies of a chatroom; small: 50")
    parser.add_argument("--waiting", type=int, default=10_000, help="replies that wait; small: none")
    parser.add_argument("--beside", type=int, default=300_000, help="messages of others; small: 500. Try 3000000")
    parser.add_argument("--dry", action="store_true", help="only print: bench/results stays as it is")
    options = parser.parse_args()
    print(f"Load by {generator()}", file=sys.stderr)
    before = busy_share()
    with stage(options.python) as small:
        small.run_alone("CREATE DATABASE big")
        url = database_of(small, "big")
        upgrade(url)
        big = replace(small, database_url=url, environment={**small.environment, "DATABASE_URL": url})
        growth = grow(small, big, options)
    text = (
        f"# Growth\n\n`make bench-growth`: {options.rounds} × {options.seconds} s of each, load by"
        f" {generator().partition(':')[0]}. Other work took {before:.0%} of the cores before."
        "\n\n"
        f"{busy_note(before)}"
        "CPU of the web process / of PostgreSQL and Valkey for a request, as a multiple of what it is where there is"
        " little: 20 chatrooms of a user, 50 entries in the chatroom, no reply waiting, 1,000 messages and replies"
        f" beside. Bold: more than {MOST_GROWTH}.\n\n{growth_table(growth)}"
    )
    print(text)
    if not options.dry:
        (RESULTS / "growth.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
