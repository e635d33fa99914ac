/** The chatrooms in the side bar: listed page by page, found by name, renamed, exported, deleted. */

import { json, Offline, send } from './api.js';
import { tellTabs } from './login_store.js';
import { announce, ask, busy, byId, copyOf, save, show } from './dom.js';
import { t } from './language.js';

const PAGE = 30;
const LARGEST_PAGE = 100;
const NAME_LENGTH = 60;

export const addressOf = (roomId) => `#/chat/${roomId}`;

export class RoomList {
  /** `onRenamed(room)`, `onDeleted(id)`, `onFault(error)`. */
  constructor(handlers) {
    Object.assign(this, handlers);
    this.rooms = [];
    this.next = null;
    this.openId = null;
    this.list = byId('rooms');
    this.search = byId('search');
    this.search.addEventListener('input', () => this.find());
    byId('more-rooms').addEventListener('click', () => this.more(PAGE));
    this.list.addEventListener('click', (event) => this.press(event));
  }

  clear() {
    this.rooms = [];
    this.next = null;
    this.search.value = '';
    this.loaded = false;
    this.draw();
  }

  /** Reads the first page, or as much as is shown. */
  async read() {
    const limit = Math.min(Math.max(PAGE, this.rooms.length), LARGEST_PAGE);
    try {
      const { rooms, next } = await page(`chatroom?limit=${limit}`);
      const oldest = rooms.at(-1)?.createdAt ?? '';
      // Of a longer list the rest stays as it is.
      const rest = next ? this.rooms.filter(({ id, createdAt }) => createdAt < oldest && !rooms.some((room) => room.id === id)) : [];
      if (!rest.length) this.next = next;
      this.rooms = [...rooms, ...rest];
      this.loaded = true;
      this.draw();
    } catch (error) {
      this.onFault(error);
    }
  }

  async more(limit) {
    if (!this.next) return;
    try {
      const { rooms, next } = await page(this.next.replace(/limit=\d+/, `limit=${limit}`));
      this.next = next;
      const known = new Set(this.rooms.map(({ id }) => id));
      this.rooms.push(...rooms.filter(({ id }) => !known.has(id)));
      this.draw();
    } catch (error) {
      this.onFault(error);
    }
  }

  /** Names are compared here: all of them are read first. */
  async find() {
    this.draw();
    while (this.search.value.trim() && this.next) {
      const before = this.next;
      await this.more(LARGEST_PAGE);
      if (this.next === before) return;
    }
    const found = this.found().length;
    if (this.search.value.trim()) announce(t('foundChats', { count: found }));
  }

  found() {
    const wanted = folded(this.search.value.trim());
    return this.rooms.filter(({ name }) => folded(name).includes(wanted));
  }

  async open(name) {
    const room = await json('POST', 'chatroom', { body: { name } });
    this.rooms.unshift(room);
    this.draw();
    tellTabs('rooms-changed');
    return room;
  }

  /** Marks the room that is open. */
  mark(roomId) {
    this.openId = roomId;
    this.draw();
  }

  draw() {
    const rooms = this.found();
    const drawn = JSON.stringify([this.openId, ...rooms.map(({ id, name }) => [id, name])]);
    if (drawn !== this.drawn) {
      this.drawn = drawn;
      this.keepingFocus(() => this.list.replaceChildren(...rooms.map((room) => this.item(room))));
    }
    const searched = this.search.value.trim();
    byId('more-rooms').hidden = !this.next || Boolean(searched);
    show(byId('rooms-empty'), rooms.length || !this.loaded ? '' : searched ? t('noChatFound') : t('noChatsYet'));
  }

  /** What has the focus in the list has it afterwards. */
  keepingFocus(change) {
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
    const id = focused?.closest('.room-item').dataset.id;
    const part = focused?.dataset.action ? `[data-action=${focused.dataset.action}]` : 'a';
    change();
    if (focused) this.list.querySelector(`[data-id="${id}"] ${part}`)?.focus();
  }

  item(room) {
    const item = copyOf('room-item');
    const link = item.querySelector('a');
    link.href = addressOf(room.id);
    link.textContent = room.name;
    link.title = room.name;
    if (room.id === this.openId) link.setAttribute('aria-current', 'page');
    item.dataset.id = room.id;
    item.querySelector('[data-action=rename]').setAttribute('aria-label', t('renameChat', room));
    item.querySelector('[data-action=export]').setAttribute('aria-label', t('exportChat', room));
    item.querySelector('[data-action=delete]').setAttribute('aria-label', t('deleteChat', room));
    return item;
  }

  press(event) {
    const action = event.target.closest('[data-action]')?.dataset.action;
    const room = this.rooms.find(({ id }) => id === event.target.closest('.room-item')?.dataset.id);
    if (room && action === 'rename') this.rename(room);
    if (room && action === 'export') busy(event.target.closest('button'), () => this.export(room));
    if (room && action === 'delete') this.remove(room);
  }

  async rename(room) {
    const name = await ask({ title: t('renameHeading'), label: t('name'), value: room.name, confirm: t('rename'), accepts: Boolean });
    if (!name || name === room.name) return;
    try {
      Object.assign(room, await json('PATCH', `chatroom/${room.id}`, { body: { name } }));
      this.changed(t('renamed', room));
      this.onRenamed(room);
    } catch (error) {
      this.onFault(error);
    }
  }

  async export(room) {
    try {
      const response = await send('GET', `chatroom/${room.id}/export`, { streams: true });
      const text = await response.text();
      // The last line says that it is whole.
      if (!text.trimEnd().split('\n').at(-1).startsWith('*End of the export')) throw new Offline();
      const name = response.headers.get('Content-Disposition')?.match(/filename\*=UTF-8''([^;]+)/)?.[1];
      save(text, 'text/markdown', name ? decodeURIComponent(name) : 'chat.md');
    } catch (error) {
      this.onFault(error);
    }
  }

  async remove(room) {
    const sure = await ask({
      title: t('deleteHeading'), text: t('deleteAbout', room), confirm: t('remove'), danger: true,
    });
    if (sure === null) return;
    try {
      await send('DELETE', `chatroom/${room.id}`);
    } catch (error) {
      if (error.status !== 404) {
        this.onFault(error);
        return;
      }
    }
    this.forget(room.id);
    this.changed(t('deleted'));
    this.onDeleted(room.id);
  }

  forget(roomId) {
    this.rooms = this.rooms.filter(({ id }) => id !== roomId);
    this.draw();
  }

  changed(said) {
    this.draw();
    tellTabs('rooms-changed');
    announce(said);
  }
}

async function page(path) {
  const response = await send('GET', path);
  const link = response.headers.get('Link')?.match(/<\/?([^>]+)>;\s*rel="next"/);
  return { rooms: await response.json(), next: link?.[1] ?? null };
}

/** Without case and accents, so that `resume` finds `Résumé`. */
const folded = (text) => text.normalize('NFKD').replace(/[\u0300-\u036f]/g, '').toLocaleLowerCase();

/** The name of a chat that begins with this message. */
export function nameFor(text) {
  const line = text.trim().replace(/\s+/g, ' ');
  if (line.length <= NAME_LENGTH) return line;
  const cut = line.slice(0, NAME_LENGTH - 1);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(' '), NAME_LENGTH / 2)).trimEnd().replace(/[\ud800-\udbff]$/, '')}…`;
}
