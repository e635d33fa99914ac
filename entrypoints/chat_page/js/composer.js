/** The box in which messages are written: it keeps drafts, sends, and stops replies. */

import { byId, make } from './dom.js';
import { t } from './language.js';

const TALLEST = 240;

export class Composer {
  /** `onSend(text)`, `onStop()`, `onDraft(text)`. */
  constructor({ onSend, onStop, onDraft }) {
    this.onSend = onSend;
    this.onDraft = onDraft;
    this.field = byId('composer-text');
    this.field.addEventListener('input', () => {
      onDraft(this.field.value);
      this.fit();
    });
    this.field.addEventListener('keydown', (event) => this.key(event));
    byId('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.send();
    });
    byId('stop').addEventListener('click', onStop);
    addEventListener('resize', () => this.fit());
  }

  /** Enter sends, Shift+Enter is a new line; on a touch keyboard Enter is a new line. */
  key(event) {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || matchMedia('(pointer: coarse)').matches) return;
    event.preventDefault();
    this.send();
  }

  send() {
    const text = this.field.value.trim();
    if (!text) this.field.focus();
    else if (!this.waits) this.onSend(text);
  }

  get text() {
    return this.field.value;
  }

  set text(text) {
    this.field.value = text;
    this.onDraft(text);
    this.fit();
  }

  /** Puts back a text that was not sent, before what was written since. */
  giveBack(text) {
    const since = this.field.value.trim();
    this.text = since && since !== text ? `${text}\n\n${since}` : text;
  }

  /** `waits`: a message is on its way. */
  setWaits(waits) {
    this.waits = waits;
    byId('send').setAttribute('aria-disabled', String(Boolean(waits)));
  }

  setBusy(isBusy) {
    const stop = byId('stop');
    const focused = document.activeElement === stop;
    stop.hidden = !isBusy;
    if (focused && !isBusy) this.field.focus();
  }

  focus() {
    // On a phone the keyboard would cover the conversation.
    if (!matchMedia('(pointer: coarse)').matches) this.field.focus();
  }

  fit() {
    this.field.style.height = 'auto';
    this.field.style.height = `${Math.min(this.field.scrollHeight, TALLEST)}px`;
  }
}

/** Says something above the box; `action` is `{label, run}`. Without words it says nothing. */
export function notice(words, action) {
  const children = !words ? [] : [
    make('p', {}, words),
    ...(action ? [make('button', { type: 'button', class: 'secondary small-button', onclick: action.run }, action.label)] : []),
    make('button', { type: 'button', class: 'link', onclick: () => notice('') }, t('dismiss')),
  ];
  byId('notice').replaceChildren(...children);
}
