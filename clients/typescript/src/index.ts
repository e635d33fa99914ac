/** A typed client: `api` has every operation of the OpenAPI document; the rest is what a generator leaves out. */

import createClient, { type Client } from "openapi-fetch";

import type { components, paths } from "./schema.js";

export type { components, paths } from "./schema.js";

type Schemas = components["schemas"];
export type ReplyEvent = Schemas["ReplyEvent"];
export type Entry = Schemas["Entry"];

/** What a session needs to go on. Keep them where you keep secrets. */
export interface Tokens {
  readonly token: string;
  readonly refreshToken: string;
}

export interface Options {
  readonly tokens?: Tokens;
  /** Is told of new tokens, and of undefined when the session has ended. */
  readonly onTokens?: (tokens: Tokens | undefined) => void;
  /** How often a request that was turned away or lost is repeated, where that is safe. */
  readonly repeats?: number;
  /** Seconds; a request that has to wait for longer is not repeated. */
  readonly maxWait?: number;
  /** Of the titles of problems, and of the text message with a code; without it browsers send their own. */
  readonly language?: string;
  readonly fetch?: (request: Request) => Promise<Response>;
}

/** The service refused a request (RFC 9457). `code` is stable; `problem` is the whole answer. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly code: string;

  constructor(
    readonly status: number,
    readonly problem: Partial<Schemas["Problem"]>,
  ) {
    super(`${status} ${problem.code ?? "unknown"}: ${problem.title ?? ""}`);
    this.code = problem.code ?? "unknown";
  }
}

const ENDS = new Set(["done", "failed", "cancelled", "removed"]);
const PUBLIC = /\/auth\/(signup|send-otp|verify-otp|login|forgot-password|reset-password|refresh)$/;
const KEYED = /\/chatroom(\/[^/]+\/message)?$|\/message\/[^/]+\/(retry|regenerate)$|\/subscribe\/pro$/;

export class GeminiChat {
  /** Every operation, typed: `await chat.api.GET("/user/me")`. A refusal is thrown as a ProblemError. */
  readonly api: Client<paths>;
  #tokens: Tokens | undefined;
  #refreshing: Promise<void> | undefined;
  readonly #base: string;
  readonly #options: Required<Omit<Options, "tokens">>;

  constructor(baseUrl: string, options: Options = {}) {
    this.#base = baseUrl.replace(/\/$/, "");
    this.#tokens = options.tokens;
    this.#options = {
      onTokens: () => {},
      repeats: 3,
      maxWait: 30,
      language: "",
      fetch: (request) => fetch(request),
      ...options,
    };
    this.api = createClient<paths>({ baseUrl: this.#base, fetch: (request) => this.#request(request) });
  }

  get tokens(): Tokens | undefined {
    return this.#tokens;
  }

  async sendOtp(mobileNumber: string): Promise<Schemas["SentCode"]> {
    return got(await this.api.POST("/auth/send-otp", { body: { mobileNumber } }));
  }

  /** Log in; the client keeps the tokens. */
  async verifyOtp(mobileNumber: string, otp: string): Promise<Schemas["LoggedIn"]> {
    const login = got(await this.api.POST("/auth/verify-otp", { body: { mobileNumber, otp } }));
    this.#keep({ token: login.token, refreshToken: login.refreshToken });
    return login;
  }

  async logOut(): Promise<void> {
    await this.api.POST("/auth/logout", { body: { scope: "this" } });
    this.#keep(undefined);
  }

  async createChatroom(body: Schemas["NewChatroom"]): Promise<Schemas["ChatroomSummary"]> {
    return got(await this.api.POST("/chatroom", { body }));
  }

  /** Chatrooms by name, messages and replies by their text. `matches` count characters, as `[...text]` does. */
  async searchChats(q: string, options: { limit?: number; cursor?: string } = {}): Promise<Schemas["Found"]> {
    return got(await this.api.GET("/search", { params: { query: { q, ...options } } }));
  }

  /** With `wait` the answer comes when the reply is finished, or after so many seconds (at most 25). */
  async sendMessage(
    chatroomId: string,
    message: string,
    options: { wait?: number; idempotencyKey?: string } = {},
  ): Promise<Schemas["SentMessage"] | Schemas["AnsweredMessage"]> {
    const header = {
      ...(options.wait === undefined ? {} : { Prefer: `wait=${options.wait}` }),
      ...(options.idempotencyKey === undefined ? {} : { "Idempotency-Key": options.idempotencyKey }),
    };
    const params = { path: { chatroomId }, header };
    return got(await this.api.POST("/chatroom/{chatroomId}/message", { params, body: { message } }));
  }

  /** The events of a reply to its end. Where the connection breaks, it goes on after the last one that came. */
  async *streamReply(
    entryId: string,
    options: { lastEventId?: string; signal?: AbortSignal } = {},
  ): AsyncGenerator<ReplyEvent, void, undefined> {
    let lastEventId = options.lastEventId;
    for (let failures = 0; ; ) {
      try {
        const headers: HeadersInit = lastEventId === undefined ? {} : { "Last-Event-ID": lastEventId };
        const url = `${this.#base}/message/${encodeURIComponent(entryId)}/stream`;
        const response = await this.#request(new Request(url, { headers, signal: options.signal ?? null }));
        if (response.status === 204 || !response.body) return;
        for await (const event of events(response.body)) {
          failures = 0;
          if ("id" in event) lastEventId = event.id;
          yield event;
          if (ENDS.has(event.event)) return;
        }
      } catch (error) {
        if (error instanceof ProblemError || options.signal?.aborted || failures === this.#options.repeats) throw error;
      }
      // Also where the stream ended before the reply did: the server is being restarted.
      failures = Math.min(failures + 1, this.#options.repeats);
      await sleep(pause(failures), options.signal);
    }
  }

  /** Send with the access token; with a new one, once, if it has expired. */
  async #request(request: Request): Promise<Response> {
    if (PUBLIC.test(new URL(request.url).pathname)) return this.#send(request);
    if (request.method === "POST" && KEYED.test(new URL(request.url).pathname) && !request.headers.has("Idempotency-Key")) {
      request.headers.set("Idempotency-Key", crypto.randomUUID());
    }
    const used = this.#tokens;
    try {
      return await this.#send(authorized(request, used));
    } catch (error) {
      if (!(error instanceof ProblemError && error.code === "token_expired")) throw error;
    }
    if (this.#tokens === used) await (this.#refreshing ??= this.#refresh().finally(() => (this.#refreshing = undefined)));
    return this.#send(authorized(request, this.#tokens));
  }

  /** Send, and again where that is safe, until the service has accepted or refused. */
  async #send(request: Request): Promise<Response> {
    const path = new URL(request.url).pathname;
    // Sent again soon, a refresh token counts once.
    const isSafe = request.method !== "POST" || request.headers.has("Idempotency-Key") || path.endsWith("/auth/refresh");
    for (let repeat = 1; ; repeat++) {
      let response: Response;
      try {
        response = await this.#options.fetch(inLanguage(request, this.#options.language));
      } catch (error) {
        if (!isSafe || request.signal.aborted || repeat > this.#options.repeats) throw error;
        await sleep(pause(repeat), request.signal);
        continue;
      }
      if (response.ok) return response;
      const problem = await problemOf(response);
      const turnedAway =
        problem.status === 429 || (isSafe && problem.status >= 500) || problem.code === "idempotency_key_in_use";
      const seconds = Number(response.headers.get("Retry-After") ?? pause(repeat));
      if (!turnedAway || repeat > this.#options.repeats || !(seconds <= this.#options.maxWait)) throw problem;
      await sleep(seconds, request.signal);
    }
  }

  async #refresh(): Promise<void> {
    const body = JSON.stringify({ refreshToken: this.#tokens?.refreshToken });
    const headers = { "Content-Type": "application/json" };
    try {
      const response = await this.#send(new Request(`${this.#base}/auth/refresh`, { method: "POST", headers, body }));
      const { token, refreshToken } = (await response.json()) as Schemas["Refreshed"];
      this.#keep({ token, refreshToken });
    } catch (error) {
      if (error instanceof ProblemError && error.status === 401) this.#keep(undefined);
      throw error;
    }
  }

  #keep(tokens: Tokens | undefined): void {
    this.#tokens = tokens;
    this.#options.onTokens(tokens);
  }
}

function authorized(request: Request, tokens: Tokens | undefined): Request {
  const again = request.clone();
  if (tokens) again.headers.set("Authorization", `Bearer ${tokens.token}`);
  return again;
}

function inLanguage(request: Request, language: string): Request {
  const again = request.clone();
  if (language) again.headers.set("Accept-Language", language);
  return again;
}

/** The data of an answer: a refusal was thrown before. */
function got<T>(answer: { data?: T }): T {
  return answer.data as T;
}

async function problemOf(response: Response): Promise<ProblemError> {
  const isProblem = response.headers.get("Content-Type")?.startsWith("application/problem+json");
  return new ProblemError(response.status, isProblem ? ((await response.json()) as Schemas["Problem"]) : {});
}

/** Server-Sent Events, without comments. One that did not come to its end does not count. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<ReplyEvent, void, undefined> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  try {
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      const blocks = (rest + decoder.decode(chunk.value, { stream: true })).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const lines = block.split("\n").filter((line) => line && !line.startsWith(":"));
        const fields = Object.fromEntries(
          lines.map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]),
        );
        if (fields["data"] !== undefined) yield { ...fields, data: JSON.parse(fields["data"]) } as ReplyEvent;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Seconds. */
function pause(repeat: number): number {
  return 0.25 * 2 ** repeat;
}

function sleep(seconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
