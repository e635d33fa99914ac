"""Examples of bodies, by the name of their schema in the OpenAPI document. All are of one user."""

from typing import Any

USER_ID = "019cad1e-7c80-7a35-8f0e-2d1b7a5c9e41"
SESSION_ID = "019cad1e-8a10-7c2b-9f44-6f0de1c3a7b8"
CHATROOM_ID = "019cad20-11f8-7d60-a1c5-90b37e4f2d18"
MESSAGE_ID = "019cad20-5ea0-7b1f-8e3d-c47a6f9b0521"
REPLY_ID = "019cad20-5ea1-7f92-b6d8-1a2e3c4d5f60"

TOKENS = {
    "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwMTljYWQxZSJ9.c2lnbmF0dXJl",
    "tokenType": "Bearer",
    "expiresIn": 900,
    "refreshToken": "rt_3q2-7wAAfYk0Vh8uJm5nXc1LbTzRgSdE",
}
ACCOUNT = {
    "id": USER_ID,
    "mobileNumber": "+919876543210",
    "name": "Asha",
    "email": "asha@example.org",
    "createdAt": "2026-03-02T09:30:00Z",
}
QUOTA = {"limit": 5, "used": 1, "remaining": 4, "resetsAt": "2026-03-03T00:00:00Z"}
USAGE = {"tier": "basic", **QUOTA}
PROFILE = {**ACCOUNT, "tier": "basic", "usage": USAGE}
CHATROOM = {
    "id": CHATROOM_ID,
    "name": "Tides",
    "createdAt": "2026-03-02T09:31:00Z",
    "updatedAt": "2026-03-02T09:32:05Z",
    "pinned": False,
    "archived": False,
}
MESSAGE = {
    "id": MESSAGE_ID,
    "chatroomId": CHATROOM_ID,
    "role": "user",
    "content": "Why are there two tides a day?",
    "createdAt": "2026-03-02T09:32:00Z",
}
REPLY = {
    "id": REPLY_ID,
    "chatroomId": CHATROOM_ID,
    "role": "bot",
    "content": "Because the Moon pulls the near side of the Earth more than its centre, and the far side less.",
    "createdAt": "2026-03-02T09:32:00Z",
    "replyTo": MESSAGE_ID,
    "status": "done",
    "model": "gemini-flash-latest",
    "truncated": False,
    "usage": {"inputTokens": 9, "outputTokens": 24},
    "finishedAt": "2026-03-02T09:32:05Z",
}
QUEUED = {"id": REPLY_ID, "status": "queued"}
SENT = {
    "message": MESSAGE,
    "reply": QUEUED,
    "quota": QUOTA,
    "links": {
        "chatroom": f"/chatroom/{CHATROOM_ID}",
        "reply": f"/message/{REPLY_ID}",
        "stream": f"/message/{REPLY_ID}/stream",
    },
}
NEW_FEEDBACK = {"rating": "down", "reasons": ["too_long"], "comment": "One sentence would have done."}
NUMBER = {"mobileNumber": "+919876543210"}

EXAMPLES: dict[str, Any] = {
    "SignUp": {**NUMBER, "name": "Asha", "email": "asha@example.org"},
    "SignedUp": {"user": ACCOUNT, "message": "Signed up. Verify the number to log in."},
    "MobileNumber": NUMBER,
    "SentCode": {
        "message": "A one-time password is on its way.",
        "expiresIn": 300,
        "resendIn": 30,
        "otp": "482913",
    },
    "VerifyOtp": {**NUMBER, "otp": "482913"},
    "LoggedIn": {**TOKENS, "user": ACCOUNT},
    "LogIn": {**NUMBER, "password": "correct horse battery"},
    "ResetPassword": {**NUMBER, "otp": "482913", "newPassword": "correct horse battery"},
    "ChangePassword": {"newPassword": "correct horse battery"},
    "MessageOnly": {"message": "The password is set. Log in with it."},
    "Refresh": {"refreshToken": TOKENS["refreshToken"]},
    "Refreshed": TOKENS,
    "LogOut": {"scope": "this"},
    "Session": {
        "id": SESSION_ID,
        "device": "Mozilla/5.0 (Android 16; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0",
        "method": "otp",
        "startedAt": "2026-03-02T09:30:00Z",
        "lastUsedAt": "2026-03-02T09:45:00Z",
        "expiresAt": "2026-04-01T09:30:00Z",
        "current": True,
    },
    "Profile": PROFILE,
    "ChangedProfile": {"name": "Asha Rao"},
    "Erased": {
        "message": "Everything that was yours is erased.",
        "erased": {"chatrooms": 1, "messages": 1, "replies": 1},
        "complete": True,
    },
    "UsageOfDays": {**USAGE, "days": [{"day": "2026-03-02", "used": 1, "refunded": 0}]},
    "NewChatroom": {"name": "Tides", "systemPrompt": "Answer in one sentence."},
    "ChangedChatroom": {"name": "Tides and the Moon"},
    "ChatroomSummary": CHATROOM,
    "Chatroom": {**CHATROOM, "systemPrompt": "Answer in one sentence."},
    "Conversation": {
        **CHATROOM,
        "systemPrompt": "Answer in one sentence.",
        "messages": [MESSAGE, REPLY],
        "nextCursor": None,
    },
    "Found": {
        "chatrooms": [
            {
                "id": CHATROOM_ID,
                "name": {"text": "Tides", "matches": [{"start": 0, "end": 4}]},
                "createdAt": CHATROOM["createdAt"],
                "archived": False,
            }
        ],
        "messages": [
            {
                "id": MESSAGE_ID,
                "chatroomId": CHATROOM_ID,
                "chatroomName": "Tides",
                "role": "user",
                "createdAt": MESSAGE["createdAt"],
                "passage": {"text": "Why are there two tides a day?", "matches": [{"start": 18, "end": 22}]},
            }
        ],
        "nextCursor": None,
        "complete": True,
    },
    "NewMessage": {"message": "Why are there two tides a day?"},
    "SentMessage": SENT,
    "AnsweredMessage": {**SENT, "reply": REPLY},
    "Messages": {"messages": [MESSAGE, REPLY], "nextCursor": None},
    "OneEntry": REPLY,
    "NewFeedback": NEW_FEEDBACK,
    "Feedback": {**NEW_FEEDBACK, "givenAt": "2026-03-02T09:33:00Z"},
    "Replies": {"replies": [REPLY], "nextCursor": None},
    "ReplyEvent": {"id": "1-15", "event": "delta", "data": {"text": "Because the Moon"}},
    "Cancelled": {"reply": {"id": REPLY_ID, "status": "cancelled"}},
    "Subscribe": {},
    "Checkout": {
        "url": "https://checkout.stripe.com/c/pay/cs_test_a1b2c3",
        "checkoutUrl": "https://checkout.stripe.com/c/pay/cs_test_a1b2c3",
        "sessionId": "cs_test_a1b2c3",
    },
    "OpenPortal": {},
    "Portal": {"url": "https://billing.stripe.com/p/session/test_YWNjdF8x"},
    "PlanStatus": {
        "tier": "pro",
        "plan": "Pro",
        "status": "active",
        "currentPeriodEnd": "2026-04-02T09:40:00Z",
        "cancelAtPeriodEnd": False,
        "usage": {"tier": "pro", "limit": None, "used": 6, "remaining": None, "resetsAt": "2026-03-03T00:00:00Z"},
    },
    "Received": {"received": True, "duplicate": False},
    "Home": {"message": "Home Route", "links": {"docs": "/docs/", "openapi": "/openapi.json"}},
    "Live": {"status": "ok"},
    "Ready": {"status": "ok", "degraded": [], "reasons": {}},
}

# Of parameters, by name; a UUID in a path is not a secret.
PARAMETERS: dict[str, Any] = {
    "q": "tide",
    "chatroomId": CHATROOM_ID,
    "entryId": REPLY_ID,
    "sessionId": SESSION_ID,
    "Idempotency-Key": "7d3f0c5e-2a41-4f8b-9c6d-5e1a2b3c4d5e",
    "Prefer": "wait=20",
    "Last-Event-ID": "1-15",
}
PARAMETER_TEXTS = {
    "chatroomId": "The chatroom",
    "entryId": "A message or a reply; the id of a message stands for its newest reply where a reply is meant",
    "sessionId": "The session",
    "limit": "The most entries of a page",
}
