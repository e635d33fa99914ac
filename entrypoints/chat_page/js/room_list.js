/** The chatrooms in the side bar: listed page by page, found by name, renamed, pinned, archived, exported, deleted. */

import { json, Offline, send } from './api.js';
import { tellTabs } from './login_store.js';
import { announce, ask, busy, byId, copyOf, save, show } from './dom.js';
import { t } from './language.js';
import { MessageSearch } from './message_search.js';
import { RoomMenu } from './room_menu.js';
import { nameOf } from './words.js';

const PAGE = 30;
const LARGEST_PAGE = 100;

export const addressOf = (roomId) => `#/chat/${roomId}`;

export class RoomList {
  /** `onRenamed(room)`, `onDeleted(id)`, `onFault(error)`. */
  constructor(handlers) {
    Object.assign(this, handlers);
    this.rooms = [];
    this.next = null;
    this.openId = null;
    this.archived = false;
    this.list = byId('rooms');
    this.search = byId('search');
    this.messages = new MessageSearch({ addressOf, onFault: (error) => this.onFault(error) });
    this.search.addEventListener('input', () => {
      this.messages.find(this.search.value);
      this.find();
    });
    byId('archive').addEventListener('click', () => this.setArchived(!this.archived));
    byId('more-rooms').addEventListener('click', () => this.more(PAGE));
    this.menu = new RoomMenu({ onChosen: (action, room, button) => this.press(action, room, button) });
  }

  clear() {
    this.rooms = [];
    this.next = null;
    this.search.value = '';
    this.messages.find('');
    this.loaded = false;
    this.archived = false;
    this.draw();
  }

  /** Lists the chats in the archive, or the others. */
  async setArchived(archived) {
    this.archived = archived;
    this.rooms = [];
    this.next = null;
    this.loaded = false;
    this.draw();
    await this.read();
    announce(t(archived ? 'archiveShown' : 'chatsShown'));
    await this.find();
  }

  /** Reads the first page, or as much as is shown. */
  async read() {
    const { archived } = this;
    const limit = Math.min(Math.max(PAGE, this.rooms.length), LARGEST_PAGE);
    try {
      const { rooms, next } = await page(`chatroom?limit=${limit}${archived ? '&archived=true' : ''}`);
      if (archived !== this.archived) return;
      const oldest = rooms.at(-1)?.createdAt ?? '';
      const isBehind = ({ id, createdAt, pinned }) => !pinned && createdAt < oldest && !rooms.some((room) => room.id === id);
      // Of a longer list the rest stays as it is.
      const rest = next ? this.rooms.filter(isBehind) : [];
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
    const { archived } = this;
    try {
      const { rooms, next } = await page(this.next.replace(/limit=\d+/, `limit=${limit}`));
      if (archived !== this.archived) return;
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
    return this.rooms.filter((room) => folded(nameOf(room)).includes(wanted));
  }

  /** Opens a chat, which gets its name from the first message. */
  async open() {
    const room = await json('POST', 'chatroom', { body: {} });
    if (this.archived) this.setArchived(false);
    else this.place(room);
    tellTabs('rooms-changed');
    return room;
  }

  /** A message was accepted: it may have named its chat, and have taken it out of the archive. */
  accepted(roomId, { message, chatroomName: name }) {
    const room = this.rooms.find(({ id }) => id === roomId);
    if (room && name) Object.assign(room, { name, updatedAt: message.createdAt });
    if (name) this.draw();
    const isElsewhere = this.archived ? room : !room;
    if (isElsewhere) this.read();
    if (name || isElsewhere) tellTabs('rooms-changed');
  }

  /** The same chat as it is known here, if it was named or renamed while this answer was on its way. */
  newest(room) {
    const known = this.rooms.find(({ id }) => id === room.id);
    return known && new Date(known.updatedAt) > new Date(room.updatedAt) ? known : room;
  }

  /** Puts a chat where it stands in the list: the pinned ones first, each part newest first. Ids follow time. */
  place(room) {
    this.rooms = [...this.rooms.filter(({ id }) => id !== room.id), ...(room.archived === this.archived ? [room] : [])];
    this.rooms.sort((one, other) => other.pinned - one.pinned || (other.id > one.id ? 1 : -1));
    this.draw();
  }

  /** Marks the room that is open. */
  mark(roomId) {
    this.openId = roomId;
    this.draw();
  }

  draw() {
    const rooms = this.found();
    const drawn = JSON.stringify([this.openId, ...rooms.map(({ id, name, pinned }) => [id, name, pinned])]);
    if (drawn !== this.drawn) {
      this.drawn = drawn;
      this.keepingFocus(() => this.list.replaceChildren(...rooms.map((room) => this.item(room))));
    }
    const searched = this.search.value.trim();
    byId('more-rooms').hidden = !this.next || Boolean(searched);
    byId('archive').textContent = t(this.archived ? 'backToChats' : 'showArchive');
    const empty = searched ? t('noChatFound') : t(this.archived ? 'archiveEmpty' : 'noChatsYet');
    show(byId('rooms-empty'), rooms.length || !this.loaded ? '' : empty);
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
    const name = nameOf(room);
    link.textContent = name;
    link.title = name;
    if (room.id === this.openId) link.setAttribute('aria-current', 'page');
    item.dataset.id = room.id;
    item.querySelector('.pin').toggleAttribute('hidden', !room.pinned);
    this.menu.belongsTo(item.querySelector('[data-action=menu]'), room);
    return item;
  }

  press(action, room, button) {
    if (action === 'rename') this.rename(room);
    if (action === 'export') busy(button, () => this.export(room));
    if (action === 'delete') this.remove(room);
    if (action === 'pin') this.change(room, { pinned: !room.pinned }, t(room.pinned ? 'unpinned' : 'pinned'));
    if (action === 'archive') {
      this.change(room, { archived: !room.archived }, t(room.archived ? 'unarchived' : 'archived'));
    }
  }

  /** Renames, pins or archives a chat, or the opposite; `said` where it worked. */
  async change(room, wish, said) {
    try {
      const changed = { ...room, ...await json('PATCH', `chatroom/${room.id}`, { body: wish }) };
      this.place(changed);
      this.changed(said);
      if (changed.name !== room.name) this.onRenamed(changed);
    } catch (error) {
      this.onFault(error);
    }
  }

  async rename(room) {
    const name = await ask({ title: t('renameHeading'), label: t('name'), value: room.name, confirm: t('rename'), accepts: Boolean });
    if (name && name !== room.name) this.change(room, { name }, t('renamed', { name }));
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
      title: t('deleteHeading'), text: t('deleteAbout', { name: nameOf(room) }), confirm: t('remove'), danger: true,
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
