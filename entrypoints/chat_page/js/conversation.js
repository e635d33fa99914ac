/** The messages and replies of the chatroom that is open: reading, following, stopping, asking again. */

import { delayAfter, json, LoggedOut, newKey, Offline, pause } from './api.js';
import { announce, byId } from './dom.js';
import { t } from './language.js';
import { isFinished, lastFinished, listen } from './room_news.js';
import { follow } from './reply_stream.js';
import { Turn } from './turn.js';
import { failure, words } from './words.js';

const NEAR_THE_END = 120;
const LARGEST_PAGE = 50;

export class Conversation {
  /**
   * `onUsage()`: the quota may have changed; with a quota: to this. `onNotice(words, error)`. `onRoom(room)`: its name.
   * `onGone()`: the room is removed. `onBusy(isBusy)`: a reply is being written. `onLoggedOut()`.
   */
  constructor(handlers) {
    Object.assign(this, handlers);
    this.list = byId('turns');
    this.scroller = byId('scroller');
    this.roomId = null;
    this.turns = new Map();
    this.staysAtEnd = true;
    this.lastTop = 0;
    this.controller = new AbortController();
    this.earlier = byId('earlier');
    this.earlier.addEventListener('click', () => this.readEarlier());
    this.scroller.addEventListener('scroll', () => this.scrolled(), { passive: true });
    byId('jump').addEventListener('click', () => this.scrollToEnd());
    document.addEventListener('visibilitychange', () => this.followVisibility());
  }

  // --- Opening and closing ---

  /** Opens a room; null: none. `outgoing()`: what is on its way to it. */
  async open(roomId, outgoing) {
    this.close();
    this.roomId = roomId;
    if (!roomId) return;
    byId('loading').hidden = false;
    const { signal } = this.controller;
    try {
      const room = await this.untilRead(`chatroom/${roomId}`, signal);
      if (signal.aborted) return;
      this.onRoom(room);
      this.prepend(room.messages, room.nextCursor);
      this.showOutgoing(outgoing());
      this.scrollToEnd();
      this.after = room.messages.findLast(isFinished)?.id ?? room.id;
      this.follow();
      this.newestTurn()?.readVersions();
    } catch (error) {
      if (!signal.aborted) this.fail(error);
    } finally {
      if (!signal.aborted) byId('loading').hidden = true;
    }
  }

  /** What a GET gives, tried until it can be reached. */
  async untilRead(path, signal) {
    for (let failures = 0; ; failures += 1) {
      try {
        const found = await json('GET', path, { signal });
        this.onReached();
        return found;
      } catch (error) {
        if (signal.aborted || !(error instanceof Offline || error.passes)) throw error;
        this.onBroken(error);
        await pause(delayAfter(error, failures), signal);
      }
    }
  }

  close() {
    this.controller.abort();
    this.controller = new AbortController();
    this.stopFollowing();
    this.turns.clear();
    this.list.replaceChildren();
    this.outgoing = null;
    this.roomId = null;
    this.cursor = null;
    this.earlier.hidden = true;
    byId('jump').hidden = true;
    this.onBusy(false);
  }

  async readEarlier() {
    const { roomId } = this;
    try {
      const page = await json('GET', `chatroom/${roomId}/messages?before=${this.cursor}`);
      if (roomId !== this.roomId) return;
      const { scrollHeight, scrollTop } = this.scroller;
      this.prepend(page.messages, page.nextCursor);
      this.scroller.scrollTop = scrollTop + this.scroller.scrollHeight - scrollHeight;
    } catch (error) {
      this.fail(error);
    }
  }

  // --- Following: a tab that nobody looks at holds no connection, and goes on where it was ---

  followVisibility() {
    if (document.visibilityState === 'hidden') this.stopFollowing();
    else if (this.roomId) this.follow();
  }

  follow() {
    if (document.visibilityState === 'hidden' || this.following || this.after === undefined) return;
    this.following = new AbortController();
    const { signal } = this.following;
    for (const turn of this.turns.values()) if (turn.live) this.followReply(turn);
    const room = this.roomId;
    listen(room, this.after, {
      signal,
      onEntries: (entries) => {
        this.onReached();
        this.take(entries);
      },
      onGone: (error) => (error instanceof LoggedOut ? this.onLoggedOut(error) : this.onGone(room)),
      onBroken: (error) => this.onBroken(error),
    });
  }

  stopFollowing() {
    this.following?.abort();
    this.following = null;
  }

  async followReply(turn) {
    const { live } = turn;
    if (!this.following || !live || live.followed) return;
    const { signal } = this.following;
    live.followed = true;
    try {
      const entry = await follow(live, {
        signal,
        onNews: () => {
          this.onReached();
          live.broken = false;
          turn.redraw();
        },
        onBroken: () => {
          live.broken = true;
          turn.redraw();
        },
      });
      if (entry) this.finish(turn, entry);
    } catch (error) {
      if (!signal.aborted) this.fail(error);
    } finally {
      live.followed = false;
    }
  }

  finish(turn, entry) {
    if (turn.live?.id !== entry.id) return;
    turn.take(entry);
    this.tellBusy();
    announce(entry.status === 'done' ? t('saidReply', { text: entry.content })
      : entry.status === 'failed' ? failure(entry.error) : t('saidStopped'));
    if (entry.status !== 'done') this.onUsage();
  }

  // --- Entries ---

  prepend(messages, cursor) {
    this.cursor = cursor;
    this.earlier.hidden = !cursor;
    const before = this.list.firstChild;
    for (const message of messages.filter(({ role }) => role === 'user')) this.add(message, before);
    this.takeReplies(messages);
  }

  /** News of the room, in the order in which they came. */
  take(entries) {
    for (const entry of entries) {
      if (entry.role === 'user') this.add(entry, null);
    }
    this.takeReplies(entries);
    this.after = lastFinished(entries) ?? this.after;
  }

  takeReplies(entries) {
    const replies = entries.filter(({ role }) => role === 'bot');
    for (const reply of replies) {
      const turn = this.turns.get(reply.replyTo);
      if (!turn) continue;
      if (isFinished(reply)) {
        if (turn.live?.id === reply.id) this.finish(turn, reply);
        else turn.take(reply);
        if (reply.latestAttempt) this.takeAttempt(turn, reply.latestAttempt);
      } else {
        this.begin(turn, reply.id);
      }
    }
    this.tellBusy();
  }

  takeAttempt(turn, attempt) {
    if (attempt.status === 'queued' || attempt.status === 'running') this.begin(turn, attempt.id);
    else if (attempt.status === 'failed') turn.remark(t('anotherTried', { why: failure(attempt.error) }));
  }

  /** A turn for a message, where there is none yet. */
  add(message, before) {
    const known = this.turns.get(message.id);
    if (known) return known;
    const stay = this.staysAtEnd;
    const turn = new Turn(message, {
      readReplies: (id, cursor) => json('GET', `message/${id}/replies?limit=${LARGEST_PAGE}${cursor && `&cursor=${cursor}`}`),
      again: (what, id) => this.askAgain(turn, what, id),
      rate: (entry, feedback) => this.rate(entry, feedback),
      onGrown: () => this.keepAtEnd(),
    });
    this.turns.set(message.id, turn);
    this.list.insertBefore(turn.element, before ?? this.outgoing?.element ?? null);
    if (stay && !before) this.scrollToEnd();
    return turn;
  }

  begin(turn, replyId) {
    turn.key = null;
    turn.begin(replyId);
    this.followReply(turn);
    this.tellBusy();
  }

  newestTurn() {
    return [...this.turns.values()].at(-1);
  }

  tellBusy() {
    this.onBusy([...this.turns.values()].some((turn) => turn.live));
  }

  // --- Sending ---

  /** Shows the message that is on its way to this room, if any: `{text, words, takeBack}`. */
  showOutgoing(outgoing) {
    this.outgoing?.element.remove();
    this.outgoing = outgoing && new Turn({ content: outgoing.text }, {});
    if (!outgoing) return;
    this.outgoing.showSending(outgoing.words, outgoing.takeBack);
    this.list.append(this.outgoing.element);
    this.scrollToEnd();
  }

  /** A message was accepted. */
  accepted(sent) {
    const turn = this.add(sent.message, null);
    this.begin(turn, sent.reply.id);
    this.scrollToEnd();
    announce(t('saidSent'));
  }

  async askAgain(turn, what, id) {
    // Where the answer was lost, the next click repeats the same request.
    turn.key ??= newKey();
    try {
      const sent = await json('POST', `message/${id}/${what}`, { key: turn.key });
      this.begin(turn, sent.reply.id);
      this.onUsage(sent.quota);
      announce(t('saidAskedAgain'));
    } catch (error) {
      if (!(error instanceof Offline)) turn.key = null;
      this.fail(error);
    }
  }

  async rate(entry, feedback) {
    const path = `message/${entry.id}/feedback`;
    try {
      entry.feedback = feedback ? await json('PUT', path, { body: feedback }) : await json('DELETE', path);
      announce(t(feedback ? 'rated' : 'ratingTakenBack'));
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  /** Stops the newest reply that is being written. */
  async stop() {
    const turn = [...this.turns.values()].findLast(({ live }) => live);
    if (!turn) return;
    try {
      await json('POST', `message/${turn.live.id}/cancel`);
    } catch (error) {
      if (error.code !== 'reply_finished') this.fail(error);
    }
  }

  fail(error) {
    if (error instanceof LoggedOut) this.onLoggedOut(error);
    else if (error.code === 'chatroom_not_found') this.onGone(this.roomId);
    else this.onNotice(words(error), error);
  }

  // --- Scrolling: the end stays in view until the user scrolls up ---

  scrolled() {
    const { scrollTop } = this.scroller;
    if (this.isAtEnd()) this.staysAtEnd = true;
    else if (scrollTop < this.lastTop) this.staysAtEnd = false;
    this.lastTop = scrollTop;
    byId('jump').hidden = this.staysAtEnd;
  }

  isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_THE_END;
  }

  keepAtEnd() {
    if (this.staysAtEnd) this.scrollToEnd();
    else byId('jump').hidden = this.isAtEnd();
  }

  scrollToEnd() {
    this.staysAtEnd = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.lastTop = this.scroller.scrollTop;
    byId('jump').hidden = true;
  }
}
