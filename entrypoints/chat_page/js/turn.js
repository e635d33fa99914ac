/** A message with its replies: one is shown, and one may be being written. */

import { busy, copyOf, copyText, show } from './dom.js';
import { whatWasWrong } from './feedback.js';
import { t } from './language.js';
import { render } from './markdown.js';
import { isFinished } from './room_news.js';
import { failure } from './words.js';

export class Turn {
  /**
   * `readReplies(id, cursor)`: a page of all replies; `again(what, id)`: retry or regenerate; `rate(entry, feedback)`: keeps
   * what the user thinks of it, null takes it back; whether that was done; `onGrown()`.
   */
  constructor(message, handlers) {
    Object.assign(this, handlers);
    this.message = message;
    this.element = copyOf('turn-item');
    this.part = (selector) => this.element.querySelector(selector);
    this.part('.bubble').textContent = message.content;
    /** Finished replies by id. */
    this.replies = new Map();
    /** Ids of all replies that are known, oldest first. */
    this.versions = [];
    this.shown = null;
    this.live = null;
    /** The key of a retry or regeneration whose answer is not there yet. */
    this.key = null;
    const reply = this.part('.reply');
    const read = () => this.readVersions();
    for (const sign of ['pointerenter', 'focusin']) reply.addEventListener(sign, read, { once: true });
    reply.addEventListener('click', (event) => this.press(event.target.closest('[data-action]')));
  }

  showSending(words, takeBack) {
    const line = this.part('.sending');
    line.hidden = false;
    line.querySelector('span').textContent = words;
    line.querySelector('button').onclick = takeBack;
  }

  /** A reply is being written: it is shown. */
  begin(id) {
    if (this.live?.id === id || this.replies.has(id)) return;
    this.note(id);
    this.live = { id, text: '', lastEvent: '', broken: false, followed: false };
    this.shown = id;
    this.said = '';
    this.redraw();
  }

  /** A reply is finished: it is shown, unless it is no answer and there is one. */
  take(entry) {
    this.note(entry.id);
    this.replies.set(entry.id, entry);
    if (this.live?.id === entry.id) this.live = null;
    const current = this.replies.get(this.shown);
    if (entry.status !== 'done' && this.answers().some(({ status }) => status === 'done')) {
      this.said = entry.status === 'failed' ? t('anotherTried', { why: failure(entry.error) }) : '';
      this.shown = current?.status === 'done' ? this.shown : this.answers().findLast(({ status }) => status === 'done').id;
    } else if (!this.live && this.versions.indexOf(entry.id) >= this.versions.indexOf(this.shown)) {
      this.shown = entry.id;
      this.said = '';
    }
    this.redraw();
  }

  remark(words) {
    this.said = words;
    this.redraw();
  }

  /** Reads all replies to this message, once. */
  async readVersions() {
    if (this.versionsRead || !this.message.id) return;
    this.versionsRead = true;
    try {
      const entries = [];
      for (let cursor = ''; cursor !== null;) {
        const page = await this.readReplies(this.message.id, cursor);
        entries.push(...page.replies);
        cursor = page.nextCursor;
      }
      const ids = entries.map(({ id }) => id);
      // What is known already may be newer: the user can have rated it meanwhile.
      for (const entry of entries) if (isFinished(entry) && !this.replies.has(entry.id)) this.replies.set(entry.id, entry);
      this.versions = [...ids, ...this.versions.filter((id) => !ids.includes(id))];
      this.redraw();
    } catch {
      this.versionsRead = false; // at the next opportunity
    }
  }

  note(id) {
    if (!this.versions.includes(id)) this.versions.push(id);
  }

  /** The finished replies that say something, oldest first. */
  answers() {
    return this.versions.map((id) => this.replies.get(id)).filter((entry) => entry?.content);
  }

  /** The ids that one can leaf through. */
  leaves() {
    return this.versions.filter((id) => id === this.shown || id === this.live?.id || this.replies.get(id)?.content);
  }

  press(button) {
    const action = button?.dataset.action;
    const leaves = this.leaves();
    const at = leaves.indexOf(this.shown);
    if (action === 'older' || action === 'newer') {
      this.shown = leaves[at + (action === 'older' ? -1 : 1)] ?? this.shown;
      this.redraw();
    } else if (action === 'copy') {
      copyText(this.replies.get(this.shown).content, button);
    } else if (action === 'regenerate' || action === 'retry') {
      busy(button, () => this.again(action, this.message.id));
    } else if (action === 'up' || action === 'down') {
      busy(button, () => this.think(action));
    }
  }

  /** The user rates the answer that is shown; the same rating again takes it back. */
  async think(rating) {
    const entry = this.replies.get(this.shown);
    const isTakenBack = entry.feedback?.rating === rating;
    const isDone = await this.rate(entry, isTakenBack ? null : { rating });
    this.redraw();
    if (!isDone || isTakenBack || rating !== 'down') return;
    const why = await whatWasWrong();
    if (why?.reasons.length || why?.comment) await this.rate(entry, { rating, ...why });
  }

  // --- Drawing, at most once in a frame ---

  redraw() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.draw();
      this.onGrown?.();
    });
    // Frames do not come in a tab that is hidden.
    if (document.visibilityState === 'hidden') {
      this.drawing = false;
      this.draw();
    }
  }

  draw() {
    const live = this.live?.id === this.shown ? this.live : null;
    const entry = this.replies.get(this.shown);
    const reply = this.part('.reply');
    reply.hidden = !live && !entry;
    reply.setAttribute('aria-busy', String(Boolean(live)));
    render(this.part('.prose'), live ? live.text : entry?.content ?? '');
    this.part('.prose').classList.toggle('streaming', Boolean(live?.text) && !live.broken);
    this.drawThinking(live);
    this.drawRemark(live, entry);
    this.drawActions(live, entry);
  }

  drawThinking(live) {
    const waits = Boolean(live) && (!live.text || live.broken);
    this.part('.thinking').hidden = !waits;
    const other = live && this.answers().length > 0;
    this.part('.thinking-text').textContent = live?.broken ? t('connectionLost') : other ? t('writingAnother') : t('thinking');
  }

  drawRemark(live, entry) {
    const remark = this.part('.remark');
    let text = live ? '' : this.said;
    if (!live && entry?.status === 'failed') text = failure(entry.error);
    else if (!live && entry?.status === 'cancelled') text = t(entry.content ? 'stopped' : 'stoppedEarly');
    else if (!live && entry?.truncated) text = t('truncated');
    remark.classList.toggle('bad', entry?.status === 'failed' || Boolean(this.said));
    show(remark, text);
  }

  drawActions(live, entry) {
    const leaves = this.leaves();
    const at = leaves.indexOf(this.shown);
    const button = (action) => this.part(`[data-action="${action}"]`);
    this.part('.actions').hidden = Boolean(live) && leaves.length < 2;
    this.part('.versions').hidden = leaves.length < 2;
    this.part('.version-text').textContent = `${at + 1} / ${leaves.length}`;
    button('older').disabled = at <= 0;
    button('newer').disabled = at >= leaves.length - 1;
    button('copy').hidden = !entry?.content;
    for (const rating of ['up', 'down']) {
      button(rating).hidden = Boolean(live) || !entry?.content;
      button(rating).setAttribute('aria-pressed', String(entry?.feedback?.rating === rating));
    }
    button('regenerate').hidden = Boolean(this.live) || entry?.status !== 'done';
    button('retry').hidden = Boolean(this.live) || !(entry?.status === 'failed' || entry?.status === 'cancelled');
  }
}
