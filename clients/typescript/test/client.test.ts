/** The client against the real service at BASE_URL, where a token expires seconds later. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { GeminiChat, ProblemError, type Tokens } from "../src/index.js";

const BASE_URL = process.env["BASE_URL"] ?? "http://127.0.0.1:8000";
let people = 0;

async function loggedIn(options: ConstructorParameters<typeof GeminiChat>[1] = {}): Promise<GeminiChat> {
  const chat = new GeminiChat(BASE_URL, options);
  const number = `+91987620${String(people++).padStart(4, "0")}`;
  const { otp } = await chat.sendOtp(number);
  assert.ok(otp);
  await chat.verifyOtp(number, otp);
  return chat;
}

test("from the code to the answer", async () => {
  const chat = await loggedIn();
  const room = await chat.createChatroom({ name: "Tides" });
  const { reply } = await chat.sendMessage(room.id, "Why are there two tides a day?", { wait: 20 });
  assert.equal(reply.status, "done");
  const params = { path: { chatroomId: room.id } };
  const { data } = await chat.api.GET("/chatroom/{chatroomId}/messages", { params });
  assert.deepEqual(data?.messages.map((entry) => entry.role), ["user", "bot"]);
  await chat.api.DELETE("/chatroom/{chatroomId}", { params });
  await assert.rejects(chat.sendMessage(room.id, "Gone"), (error) => {
    assert.ok(error instanceof ProblemError);
    assert.deepEqual([error.status, error.code], [404, "chatroom_not_found"]);
    return true;
  });
});

test("a message whose answer was lost is sent again and counts once", async () => {
  let lost = 0;
  const chat = await loggedIn({
    fetch: async (request) => {
      const response = await fetch(request);
      if (request.url.endsWith("/message") && lost++ === 0) throw new TypeError("the connection broke");
      return response;
    },
  });
  const room = await chat.createChatroom({ name: "Once" });
  await chat.sendMessage(room.id, "Once");
  assert.equal(lost, 2);
  const { data: usage } = await chat.api.GET("/user/usage");
  assert.equal(usage?.used, 1);
});

test("many requests refresh an expired token once", async () => {
  const kept: (Tokens | undefined)[] = [];
  let refreshes = 0;
  const chat = await loggedIn({
    onTokens: (tokens) => kept.push(tokens),
    fetch: (request) => {
      if (request.url.endsWith("/auth/refresh")) refreshes++;
      return fetch(request);
    },
  });
  while (refreshes === 0) {
    const answers = await Promise.all(Array.from({ length: 8 }, () => chat.api.GET("/user/me")));
    assert.ok(answers.every((answer) => answer.response.ok));
    // A user has so many requests a minute, which the service would answer in a few seconds.
    await new Promise((done) => setTimeout(done, 100));
  }
  assert.equal(refreshes, 1);
  assert.equal(kept.length, 2);
  assert.equal(kept[1], chat.tokens);
});

test("a stream goes on after the connection broke", async () => {
  const resumedAfter: (string | null)[] = [];
  const chat = await loggedIn({
    fetch: async (request) => {
      const response = await fetch(request);
      if (!request.url.endsWith("/stream")) return response;
      resumedAfter.push(request.headers.get("Last-Event-ID"));
      return resumedAfter.length === 1 ? brokenAfterOneEvent(response) : response;
    },
  });
  const room = await chat.createChatroom({ name: "Tales" });
  const { reply } = await chat.sendMessage(room.id, "A tale of many words ".repeat(20), { wait: 20 });
  let text = "";
  const names: string[] = [];
  let content: string | null = null;
  for await (const event of chat.streamReply(reply.id)) {
    names.push(event.event);
    if (event.event === "delta") text += event.data.text;
    if (event.event === "done") content = event.data.content;
  }
  assert.equal(names.at(-1), "done");
  assert.equal(text, content);
  assert.equal(resumedAfter[0], null);
  assert.match(resumedAfter[1] ?? "", /^\d+-\d+/);
});

test("the quota is not waited for", async () => {
  const chat = await loggedIn();
  const room = await chat.createChatroom({ name: "Many" });
  for (let number = 0; number < 5; number++) await chat.sendMessage(room.id, `Number ${number}`);
  await assert.rejects(chat.sendMessage(room.id, "One more"), { code: "daily_quota_exceeded" });
});

test("problems are told in the language of the client", async () => {
  const chat = new GeminiChat(BASE_URL, { language: "hi-IN" });
  await assert.rejects(chat.api.GET("/user/me"), (error) => {
    assert.ok(error instanceof ProblemError);
    assert.equal(error.problem.title, "एक्सेस टोकन नहीं है, या मान्य नहीं है");
    return true;
  });
});

test("who gives up while a request is under way does not wait, and it is not sent again", async () => {
  const givingUp = new AbortController();
  let sent = 0;
  const chat = new GeminiChat(BASE_URL, {
    fetch: async () => {
      sent++;
      givingUp.abort(new Error("given up"));
      return new Response(null, { status: 503, headers: { "Retry-After": "0" } });
    },
  });
  await assert.rejects(chat.api.GET("/user/me", { signal: givingUp.signal }), { message: "given up" });
  assert.equal(sent, 1);
});

function brokenAfterOneEvent(response: Response): Response {
  let rest = "";
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  const cut = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      rest += decoder.decode(chunk, { stream: true });
      const event = /[\s\S]*?\ndata: .*\n\n/.exec(rest);
      if (!event) return;
      controller.enqueue(encoder.encode(event[0]));
      setTimeout(() => controller.error(new TypeError("the connection broke")));
    },
  });
  return new Response(response.body?.pipeThrough(cut) ?? null, response);
}
