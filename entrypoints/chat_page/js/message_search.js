/** What was said that matches what is typed into the search field, below the chats whose names match. */

import { json } from './api.js';
import { announce, byId, copyOf, show } from './dom.js';
import { t } from './language.js';
import { nameOf } from './words.js';

const SHORTEST = 2;
const LONGEST = 100;
// People type on: not every letter is a search.
const PAUSE = 400;

export class MessageSearch {
  /** `addressOf(roomId)`; `onFault(error)`. */
  constructor(handlers) {
    Object.assign(this, handlers);
    this.list = byId('found-messages');
    this.controller = new AbortController();
  }

  /** Shows what is found of a text soon; nothing of one that is too short. */
  find(text) {
    clearTimeout(this.timer);
    this.controller.abort();
    const wanted = text.trim().slice(0, LONGEST);
    const isOneCharacter = [...wanted].length < SHORTEST && /^[\x00-\u024f]*$/.test(wanted);
    if (!wanted || isOneCharacter) {
      this.draw([], true);
      return;
    }
    this.timer = setTimeout(() => this.ask(wanted), PAUSE);
  }

  async ask(wanted) {
    this.controller = new AbortController();
    const { signal } = this.controller;
    try {
      const { messages, complete } = await json('GET', `search?q=${encodeURIComponent(wanted)}`, { signal });
      this.draw(messages, complete);
      announce(t('foundMessages', { count: messages.length }));
    } catch (error) {
      if (signal.aborted) return;
      this.draw([], true);
      // Signs alone find nothing; that is no error while a user is typing.
      if (error.code !== 'validation_failed') this.onFault(error);
    }
  }

  draw(messages, complete) {
    byId('found').hidden = !messages.length && complete;
    show(byId('found-note'), complete ? '' : t('searchIncomplete'));
    this.list.replaceChildren(...messages.map((message) => this.item(message)));
  }

  item({ chatroomId, chatroomName, role, passage }) {
    const item = copyOf('found-item');
    item.querySelector('a').href = this.addressOf(chatroomId);
    item.querySelector('.found-room').textContent = nameOf({ name: chatroomName });
    const isMine = role === 'user';
    item.querySelector('.found-who').textContent = t(isMine ? 'you' : 'reply');
    item.querySelector('.found-text').replaceChildren(...marked(passage));
    return item;
  }
}

/** The passage with its matches in <mark>. Places are counted in characters, and strings in units of UTF-16. */
function marked({ text, matches }) {
  const characters = [...text];
  const parts = [];
  let at = 0;
  for (const { start, end } of matches) {
    const mark = document.createElement('mark');
    mark.textContent = characters.slice(start, end).join('');
    parts.push(characters.slice(at, start).join(''), mark);
    at = end;
  }
  return [...parts, characters.slice(at).join('')];
}
