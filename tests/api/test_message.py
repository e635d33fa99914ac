"""/message/{id}: reading one message or reply, cancelling, retry and regenerate."""

import re
from typing import Any
from uuid import UUID

import pytest

from application.ports.language_model import Stop
from domain.replies import AnswerFailed, FailureReason, ReplyPolicy
from tests.api.client import Api, Client, body_of, faulty_fields, problem_of
from tests.builders import ASHA, House

NOWHERE = f"/message/{UUID(int=1 << 100)}"
ACTIONS = ["cancel", "retry", "regenerate"]

AT = "2026-03-02T09:30:00Z"


def said(asha: Client) -> Any:
    """A message that was accepted, and its promised reply."""
    return body_of(asha.say(asha.open_room()), 202)


def done(asha: Client, house: House) -> Any:
    sent = said(asha)
    house.work()
    return sent


def failed(asha: Client, house: House) -> Any:
    """A message that the model refused to answer."""
    sent = said(asha)
    house.model.will(AnswerFailed(FailureReason.REFUSED))
    house.work()
    return sent


class TestReading:
    """GET /message/{id}."""

    def test_a_message_with_the_ids_of_its_replies(self, asha: Client, house: House):
        sent = done(asha, house)
        message, reply = sent["message"], sent["reply"]
        assert body_of(asha.get(f"/message/{message['id']}")) == {**message, "replies": [reply["id"]]}
        again = body_of(asha.post(f"/message/{message['id']}/regenerate"), 202)["reply"]
        assert body_of(asha.get(f"/message/{message['id']}"))["replies"] == [reply["id"], again["id"]]

    def test_a_reply_at_each_stage_of_its_life(self, asha: Client, house: House):
        sent = said(asha)
        path = sent["links"]["reply"]
        queued = {
            "id": sent["reply"]["id"],
            "chatroomId": sent["message"]["chatroomId"],
            "role": "bot",
            "content": None,
            "createdAt": AT,
            "replyTo": sent["message"]["id"],
            "status": "queued",
        }
        assert body_of(asha.get(path)) == queued
        claimed = house.claim_one()
        assert body_of(asha.get(path)) == {**queued, "status": "running"}
        house.write(claimed)
        assert body_of(asha.get(path)) == {
            **queued,
            "content": "echo: hi",
            "status": "done",
            "model": "scripted",
            "truncated": False,
            "finishedAt": AT,
            "usage": {"inputTokens": None, "outputTokens": None},
        }

    def test_a_failed_one_says_why(self, asha: Client, house: House):
        body = body_of(asha.get(failed(asha, house)["links"]["reply"]))
        assert (body["status"], body["content"], body["error"]["code"]) == ("failed", None, "refused")

    def test_what_is_known_is_not_sent_again(self, asha: Client, house: House):
        sent = said(asha)
        path = sent["links"]["reply"]
        tag = asha.get(path).headers["ETag"]
        assert asha.get(path).headers["Cache-Control"] == "private, no-cache"
        assert asha.get(path, headers={"If-None-Match": tag}).status_code == 304
        house.work()
        assert body_of(asha.get(path, headers={"If-None-Match": tag}))["status"] == "done"


class TestAllReplies:
    """GET /message/{id}/replies."""

    @pytest.mark.parametrize("by", ["message", "reply"])
    def test_every_attempt_oldest_first(self, asha: Client, house: House, by: str):
        sent = failed(asha, house)
        again = body_of(asha.post(f"{sent['links']['reply']}/retry"), 202)["links"]["reply"]
        house.work()
        third = body_of(asha.post(f"{again}/regenerate"), 202)["links"]["reply"]
        body = body_of(asha.get(f"/message/{sent[by]['id']}/replies"))
        assert [f"/message/{one['id']}" for one in body["replies"]] == [sent["links"]["reply"], again, third]
        assert body["replies"][2] == body_of(asha.get(third))
        assert body["nextCursor"] is None
        assert [one["status"] for one in body["replies"]] == ["failed", "done", "queued"]
        assert [one["content"] for one in body["replies"]] == [None, "echo: hi", None]
        assert body["replies"][0]["error"]["code"] == "refused"

    def test_a_page_at_a_time(self, asha: Client, house: House):
        sent = done(asha, house)
        path = sent["links"]["reply"]
        for _ in range(4):
            asha.post(f"{path}/regenerate")
            house.work()
        whole = body_of(asha.get(f"{path}/replies"))["replies"]
        assert len(whole) == 5
        found: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            body = body_of(asha.get(f"{path}/replies?limit=2" + (f"&cursor={cursor}" if cursor else "")))
            assert len(body["replies"]) <= 2
            found += body["replies"]
            cursor = body["nextCursor"]
        assert found == whole

    @pytest.mark.parametrize("query", ["limit=0", "limit=51", "limit=x", "cursor=x"])
    def test_a_faulty_page_is_named(self, asha: Client, house: House, query: str):
        path = done(asha, house)["links"]["reply"]
        assert faulty_fields(asha.get(f"{path}/replies?{query}")) == {query.partition("=")[0]}

    def test_what_is_known_is_not_sent_again(self, asha: Client, house: House):
        path = f"{done(asha, house)['links']['reply']}/replies"
        tag = asha.get(path).headers["ETag"]
        assert asha.get(path, headers={"If-None-Match": tag}).status_code == 304

    def test_an_overdue_one_is_ended_by_who_looks(self, asha: Client, house: House):
        path = said(asha)["links"]["reply"]
        house.clock.advance(ReplyPolicy().deadline)
        [reply] = body_of(asha.get(f"{path}/replies"))["replies"]
        assert (reply["status"], reply["error"]["code"]) == ("failed", "deadline_exceeded")

    def test_those_of_others_and_of_nobody_are_not_found(self, asha: Client, ravi: Client, house: House):
        sent = done(asha, house)
        for path in (sent["links"]["reply"], f"/message/{sent['message']['id']}"):
            problem_of(ravi.get(f"{path}/replies"), 404, "message_not_found")
        problem_of(asha.get(f"{NOWHERE}/replies"), 404, "message_not_found")
        asha.send("DELETE", sent["links"]["chatroom"])
        problem_of(asha.get(f"{sent['links']['reply']}/replies"), 404, "message_not_found")


class TestCancelling:
    """POST /message/{id}/cancel."""

    @pytest.mark.parametrize("by", ["message", "reply"])
    def test_what_has_not_begun_is_cancelled_at_once_and_free(self, asha: Client, by: str):
        sent = said(asha)
        answer = asha.post(f"/message/{sent[by]['id']}/cancel")
        assert body_of(answer, 202) == {"reply": {"id": sent["reply"]["id"], "status": "cancelled"}}
        assert answer.headers["Location"] == sent["links"]["reply"]
        assert answer.headers["Cache-Control"] == "no-store"
        reply = body_of(asha.get(sent["links"]["reply"]))
        assert (reply["status"], reply["content"], reply["finishedAt"]) == ("cancelled", None, AT)
        assert not {"error", "model", "usage", "truncated"} & set(reply)
        assert body_of(asha.get("/user/usage"))["used"] == 0

    def test_what_is_running_stops_soon_and_keeps_what_there_is(self, asha: Client, house: House):
        sent = said(asha)
        claimed = house.claim_one()
        answer = asha.post(f"{sent['links']['reply']}/cancel")
        assert body_of(answer, 202)["reply"]["status"] == "running"
        stop = Stop()
        house.model.will(["Once upon", stop.request, " a time"])
        house.write(claimed, stop=stop)
        reply = body_of(asha.get(sent["links"]["reply"]))
        assert (reply["status"], reply["content"]) == ("cancelled", "Once upon")
        assert body_of(asha.get("/user/usage"))["used"] == 1

    @pytest.mark.parametrize("end", [done, failed])
    def test_what_has_ended_cannot_be_cancelled(self, asha: Client, house: House, end: Any):
        sent = end(asha, house)
        problem_of(asha.post(f"{sent['links']['reply']}/cancel"), 409, "reply_finished")

    def test_nor_twice(self, asha: Client):
        path = f"{said(asha)['links']['reply']}/cancel"
        body_of(asha.post(path), 202)
        problem_of(asha.post(path), 409, "reply_finished")


class TestAskingAgain:
    """POST /message/{id}/retry and /regenerate."""

    @pytest.mark.parametrize("by", ["message", "reply"])
    @pytest.mark.parametrize(("action", "used"), [("retry", 1), ("regenerate", 2)])
    def test_another_reply_is_promised(self, asha: Client, house: House, by: str, action: str, used: int):
        sent = failed(asha, house) if action == "retry" else done(asha, house)
        answer = asha.post(f"/message/{sent[by]['id']}/{action}")
        body = body_of(answer, 202)
        reply = body["reply"]
        assert reply["id"] != sent["reply"]["id"]
        assert body == {
            "message": sent["message"],
            "reply": {"id": reply["id"], "status": "queued"},
            "quota": {"limit": 5, "used": used, "remaining": 5 - used, "resetsAt": "2026-03-03T00:00:00Z"},
            "links": {
                "chatroom": sent["links"]["chatroom"],
                "reply": f"/message/{reply['id']}",
                "stream": f"/message/{reply['id']}/stream",
            },
        }
        assert answer.headers["Location"] == f"/message/{reply['id']}"
        assert answer.headers["RateLimit-Policy"] == '"daily";q=5;w=86400'
        assert re.fullmatch(rf'"daily";r={5 - used};t=\d+', answer.headers["RateLimit"])
        assert house.worker_notifier.notified == 2
        house.work()
        shown = body_of(asha.get(sent["links"]["chatroom"]))["messages"]
        assert [(entry["id"], entry["content"]) for entry in shown] == [
            (sent["message"]["id"], "hi"),
            (reply["id"], "echo: hi"),
        ]
        assert body_of(asha.get("/user/usage"))["used"] == used
        assert body_of(asha.get(sent["links"]["reply"]))["id"] == sent["reply"]["id"]  # still readable

    @pytest.mark.parametrize("state", ["queued", "running", "done"])
    def test_only_what_failed_is_retried(self, asha: Client, house: House, state: str):
        sent = done(asha, house) if state == "done" else said(asha)
        if state == "running":
            house.claim_one()
        problem_of(asha.post(f"{sent['links']['reply']}/retry"), 409, "reply_not_failed")

    @pytest.mark.parametrize("state", ["queued", "running", "failed"])
    def test_only_what_is_done_is_regenerated(self, asha: Client, house: House, state: str):
        sent = failed(asha, house) if state == "failed" else said(asha)
        if state == "running":
            house.claim_one()
        problem_of(asha.post(f"{sent['links']['reply']}/regenerate"), 409, "reply_not_done")

    def test_what_was_cancelled_may_be_retried(self, asha: Client):
        sent = said(asha)
        asha.post(f"{sent['links']['reply']}/cancel")
        body_of(asha.post(f"{sent['links']['reply']}/retry"), 202)

    @pytest.mark.parametrize(("end", "action"), [(failed, "retry"), (done, "regenerate")])
    def test_with_the_prompts_of_the_day_used_up(self, end: Any, action: str):
        api = Api(House(basic_daily_prompts=1))
        asha = api.log_in(ASHA)
        sent = end(asha, api.house)
        asha.say(sent["links"]["chatroom"])
        answer = asha.post(f"{sent['links']['reply']}/{action}")
        problem_of(answer, 429, "daily_quota_exceeded")
        assert answer.headers["RateLimit"].startswith('"daily";r=0;t=')

    @pytest.mark.parametrize(
        ("policy", "status", "code"),
        [
            (ReplyPolicy(user_backlog=1), 429, "too_many_unfinished_replies"),
            (ReplyPolicy(backlog=1), 503, "backlog_full"),
        ],
    )
    def test_with_a_full_backlog(self, policy: ReplyPolicy, status: int, code: str):
        api = Api(House(reply_policy=policy))
        asha = api.log_in(ASHA)
        sent = done(asha, api.house)
        said(asha)
        problem_of(asha.post(f"{sent['links']['reply']}/regenerate"), status, code)

    def test_pro_has_no_limit_headers(self, asha: Client, house: House):
        sent = done(asha, house)
        house.subscribe(house.use_cases.auth.authenticate(asha.token or ""))
        answer = asha.post(f"{sent['links']['reply']}/regenerate")
        assert body_of(answer, 202)["quota"]["limit"] is None
        assert "RateLimit" not in answer.headers


class TestRefusals:
    """404, 503, 422."""

    @pytest.mark.parametrize("method", ["GET", *ACTIONS, "stream"])
    def test_a_foreign_entry_and_a_missing_one_look_alike(self, asha: Client, ravi: Client, house: House, method: str):
        sent = done(ravi, house)
        before = house.database.tables
        same_id = {"X-Request-Id": "one-and-the-same"}

        def ask(path: str) -> Any:
            if method in ACTIONS:
                return asha.post(f"{path}/{method}", headers=same_id)
            return asha.get(path if method == "GET" else f"{path}/stream", headers=same_id)

        missing = ask(NOWHERE)
        problem_of(missing, 404, "message_not_found")
        # A room's id is no entry's.
        for entry_id in (sent["message"]["id"], sent["reply"]["id"], sent["message"]["chatroomId"]):
            foreign = ask(f"/message/{entry_id}")
            assert (foreign.data, foreign.headers) == (missing.data, missing.headers)
        assert house.database.tables is before

    @pytest.mark.parametrize("suffix", ["", "/stream", "/cancel", "/retry", "/regenerate"])
    @pytest.mark.parametrize("entry_id", ["1", "x", "00000000000000000000000000000001", "%00"])
    def test_what_is_no_id_is_nowhere(self, asha: Client, suffix: str, entry_id: str):
        method = "POST" if suffix[1:] in ACTIONS else "GET"
        problem_of(asha.send(method, f"/message/{entry_id}{suffix}"), 404, "not_found")

    def test_without_the_database_one_has_to_wait(self, asha: Client, house: House):
        path = done(asha, house)["links"]["reply"]
        house.database_probe.on = False
        for suffix in ("", "/stream"):
            problem_of(asha.get(path + suffix), 503, "dependency_unavailable")
        for action in ACTIONS:
            problem_of(asha.post(f"{path}/{action}"), 503, "dependency_unavailable")

    @pytest.mark.parametrize("action", ACTIONS)
    def test_a_body_does_not_matter(self, asha: Client, action: str):
        path = said(asha)["links"]["reply"]
        answer = asha.send("POST", f"{path}/{action}", data=b"{not json", content_type="text/plain")
        assert answer.status_code in {202, 409}
