/** What can be done with a chat of the list: a popover that its button opens, and that closes by itself. */

import { byId } from './dom.js';
import { t } from './language.js';
import { nameOf } from './words.js';

export class RoomMenu {
  /** `onChosen(action, room, button)` */
  constructor(handlers) {
    Object.assign(this, handlers);
    this.element = byId('room-menu');
    this.element.addEventListener('click', (event) => this.choose(event.target.closest('[data-action]')));
    this.element.addEventListener('toggle', ({ newState }) => { if (newState === 'open') this.place(); });
  }

  /** Has a button open the menu of this chat. */
  belongsTo(button, room) {
    button.setAttribute('aria-label', t('chatOptions', { name: nameOf(room) }));
    // The browser opens it, closes it, and gives the focus back.
    button.popoverTargetElement = this.element;
    button.addEventListener('click', () => this.show(room, button));
  }

  show(room, button) {
    this.room = room;
    this.button = button;
    this.element.setAttribute('aria-label', t('chatOptions', { name: nameOf(room) }));
    this.say('pin', t(room.pinned ? 'unpin' : 'pin'));
    this.say('archive', t(room.archived ? 'unarchive' : 'archive'));
    this.part('pin').hidden = room.archived;
  }

  place() {
    const { bottom, top, left } = this.button.getBoundingClientRect();
    const { width, height } = this.element.getBoundingClientRect();
    const below = bottom + height < innerHeight ? bottom : Math.max(top - height, 0);
    this.element.style.top = `${below}px`;
    this.element.style.left = `${Math.max(Math.min(left, innerWidth - width - 8), 8)}px`;
  }

  choose(button) {
    if (!button) return;
    this.element.hidePopover();
    this.onChosen(button.dataset.action, this.room, button);
  }

  part(action) {
    return this.element.querySelector(`[data-action=${action}]`);
  }

  say(action, text) {
    this.part(action).querySelector('span').textContent = text;
  }
}
