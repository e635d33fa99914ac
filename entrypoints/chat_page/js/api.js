/** Requests to the API: tokens are renewed once for all tabs, and errors are Problem, Offline or LoggedOut. */

import { language } from './language.js';
import { exclusively, forgetLogin, readLogin, tellTabs, writeLogin } from './login_store.js';

// The page is served at /app/ below the API.
const ROOT = new URL('..', document.baseURI);
const PATIENCE = 60_000;

/** An error that the API answered with (RFC 9457): `status`, `code`, and what the problem says besides. */
export class Problem extends Error {
  constructor(response, members) {
    super(members.title ?? `HTTP ${response.status}`);
    Object.assign(this, members);
    this.status = response.status;
    this.code = members.code ?? '';
    this.retryAfter = Number(response.headers.get('Retry-After')) || null;
  }

  /** Whether the same request may well succeed in a moment. */
  get passes() {
    return this.status >= 500 || this.code === 'idempotency_key_in_use'
      || (this.status === 429 && this.retryAfter !== null && this.retryAfter <= 60);
  }
}

/** The service could not be reached. */
export class Offline extends Error {}

/** The session has ended: only a new login helps. */
export class LoggedOut extends Error {}

/** The response of the API where it is no error. `key`: the Idempotency-Key. */
export async function send(method, path, options = {}) {
  if (options.anonymous) return attempt(method, path, options);
  const login = await readLogin();
  if (!login) throw new LoggedOut();
  try {
    return await attempt(method, path, options, login.token);
  } catch (error) {
    if (error.status !== 401 || !error.code.startsWith('token_')) throw error;
    return attempt(method, path, options, await renew(login.token));
  }
}

/** The JSON of the response; undefined where it has no body. */
export async function json(method, path, options = {}) {
  const response = await send(method, path, options);
  return response.status === 204 ? undefined : response.json();
}

async function attempt(method, path, { body, key, headers = {}, signal, streams = false }, token) {
  const response = await reach(path, {
    method,
    headers: {
      'Accept-Language': language(),
      ...headers,
      ...(token ? { Authorization: `Bearer ${token}` } : {}),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(key ? { 'Idempotency-Key': key } : {}),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: streams ? signal : AbortSignal.any([AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])]),
  });
  if (response.ok) return response;
  throw new Problem(response, await response.json().catch(() => ({})));
}

async function reach(path, request) {
  try {
    return await fetch(new URL(path, ROOT), { cache: 'no-store', credentials: 'omit', ...request });
  } catch (error) {
    if (request.signal?.aborted && error.name === 'AbortError') throw error;
    throw new Offline();
  }
}

/** A token that is not `expired`. Of all tabs that need one at once, one asks for it. */
function renew(expired) {
  return exclusively('chat-renewal', async () => {
    const login = await readLogin();
    if (!login) throw new LoggedOut();
    if (login.token !== expired) return login.token;
    try {
      const response = await attempt('POST', 'auth/refresh', { body: { refreshToken: login.refreshToken } });
      const { token, refreshToken } = await response.json();
      await writeLogin({ ...login, token, refreshToken });
      return token;
    } catch (error) {
      if (error.status !== 401) throw error;
      await forgetLogin();
      tellTabs('logged-out');
      throw new LoggedOut();
    }
  });
}

/** A key for a request that can be repeated without taking effect twice. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Waits; ends early when the connection comes back. Rejects when the signal aborts. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener('online', done);
      signal?.removeEventListener('abort', done);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener('online', done);
    signal?.addEventListener('abort', done);
    if (signal?.aborted) done();
  });
}

/** How long to wait before the next try after an error, in milliseconds: longer each time. */
export function delayAfter(error, failures) {
  return error?.retryAfter ? error.retryAfter * 1000 : Math.min(250 * 2 ** failures, 8000) * (0.75 + Math.random() / 2);
}
