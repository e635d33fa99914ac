/** Follows a reply while it is being written (Server-Sent Events over fetch), and goes on where it broke off. */

import { delayAfter, json, LoggedOut, pause, send } from './api.js';

// The service sends something every few seconds.
const SILENCE = 20_000;
const FINAL = new Set(['done', 'failed', 'cancelled']);

/**
 * `live` is `{id, text, lastEvent}` and is kept up to date, so that following can stop and go on later.
 * `onNews()`: it is connected, or there is more text. `onBroken()`: the connection is lost.
 * Resolves to the finished reply; to null when it was removed with its chatroom. Rejects when the signal aborts.
 */
export async function follow(live, { signal, onNews, onBroken }) {
  for (let failures = 0; ; failures += 1) {
    let fault;
    try {
      const response = await connect(live, signal);
      if (response.status === 204) return await json('GET', `message/${live.id}`, { signal });
      onNews();
      for await (const event of events(response.body, signal)) {
        failures = 0;
        const ended = take(live, event);
        if (ended !== undefined) return ended;
        onNews();
      }
    } catch (error) {
      if (signal.aborted || error instanceof LoggedOut) throw error;
      if (error.status === 404) return null;
      fault = error;
    }
    onBroken();
    await pause(delayAfter(fault, failures), signal);
  }
}

function connect(live, signal) {
  const headers = { Accept: 'text/event-stream', ...(live.lastEvent ? { 'Last-Event-ID': live.lastEvent } : {}) };
  return send('GET', `message/${live.id}/stream`, { headers, signal, streams: true });
}

/** What an event makes of the reply; its final form where the event is the last. */
function take(live, { id, name, data }) {
  if (id) live.lastEvent = id;
  if (name === 'delta') live.text += JSON.parse(data).text;
  else if (name === 'reset') live.text = '';
  else if (name === 'removed') return null;
  else if (FINAL.has(name)) return JSON.parse(data);
  return undefined;
}

/** The events of a stream (html.spec.whatwg.org, 9.2.6). Ends when nothing comes any more. */
async function* events(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = '';
  try {
    for (;;) {
      const { done, value } = await withinSilence(reader, signal);
      if (done) return;
      buffer += value;
      const blocks = buffer.split('\n\n');
      buffer = blocks.pop();
      for (const block of blocks) {
        const event = parse(block);
        if (event.name) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function withinSilence(reader, signal) {
  let timer;
  const silence = new Promise((resolve) => { timer = setTimeout(resolve, SILENCE, { done: true }); });
  try {
    return await Promise.race([reader.read(), silence]);
  } finally {
    clearTimeout(timer);
    signal.throwIfAborted();
  }
}

function parse(block) {
  const event = { id: '', name: '', data: '' };
  const names = { id: 'id', event: 'name', data: 'data' };
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    const member = names[line.slice(0, colon)];
    if (member) event[member] += line.slice(colon + 1).replace(/^ /, '');
  }
  return event;
}
