/** What is new in a chatroom, from any device: a long poll for entries behind the last one that is finished. */

import { delayAfter, json, LoggedOut, pause } from './api.js';
import { perhapsExclusively } from './login_store.js';

const WAIT_SECONDS = 5;
// A browser opens six connections to a server for all of its tabs: one tab waits, the others look now and then.
const LOOK_AGAIN = 5_000;
const PAGE = 100;

/** Calls `onEntries` with entries after `after` until the signal aborts or the room is gone (`onGone`). */
export async function listen(roomId, after, { signal, onEntries, onGone, onBroken }) {
  for (let failures = 0; ;) {
    try {
      const entries = await perhapsExclusively('chat-news', async (alone) => {
        const path = `chatroom/${roomId}/messages?after=${after}&limit=${PAGE}&wait=${alone ? WAIT_SECONDS : 0}`;
        const { messages } = await json('GET', path, { signal });
        return { messages, alone };
      });
      failures = 0;
      after = lastFinished(entries.messages) ?? after;
      onEntries(entries.messages);
      if (!entries.alone && !entries.messages.length) await pause(LOOK_AGAIN, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof LoggedOut || error.status === 404) {
        onGone(error);
        return;
      }
      onBroken(error);
      await pause(delayAfter(error, failures), signal).catch(() => {});
      failures += 1;
    }
    if (signal.aborted) return;
  }
}

/** The id of the last entry before the first that is not finished. */
export function lastFinished(entries) {
  const first = entries.findIndex((entry) => !isFinished(entry));
  return entries[(first < 0 ? entries.length : first) - 1]?.id;
}

/** Messages are, and replies that are neither queued nor being written. */
export const isFinished = ({ status }) => status !== 'queued' && status !== 'running';
