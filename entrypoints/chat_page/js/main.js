/** Starts the page, and connects its parts: who is logged in, which chat is open, what is on its way. */

import { json, LoggedOut, Offline, send } from './api.js';
import { AccountView, becomesPro, cameBack, upgrade } from './account_view.js';
import { Composer, notice } from './composer.js';
import { Conversation } from './conversation.js';
import { announce, busy, byId, show } from './dom.js';
import { KeptTexts } from './kept_texts.js';
import { t, translate } from './language.js';
import { offerLanguages } from './language_list.js';
import { forgetLogin, onTold, readLogin, tellTabs, writeLogin } from './login_store.js';
import { LoginView } from './login_view.js';
import { Outbox } from './outbox.js';
import { addressOf, RoomList } from './room_list.js';
import { nameOf, onItsWay, quotaWords, words } from './words.js';

const NEW = 'new';
const LIST_IS_OLD = 30_000;

class Page {
  constructor() {
    this.usage = null;
    this.login = new LoginView({ onLogin: (login) => this.loggedIn(login) });
    this.rooms = new RoomList({
      onRenamed: (room) => { if (room.id === this.roomId) this.setTitle(nameOf(room)); },
      onDeleted: (id) => { if (id === this.roomId) location.hash = ''; },
      onFault: (error) => this.fault(error),
    });
    this.conversation = new Conversation({
      onUsage: (quota) => (quota ? this.setUsage({ ...this.usage, ...quota }) : this.readProfile()),
      onNotice: (text, error) => this.say(text, error),
      onRoom: (room) => this.setTitle(nameOf(this.rooms.newest(room))),
      onGone: (roomId) => this.gone(roomId),
      onBusy: (isBusy) => this.composer?.setBusy(isBusy),
      onLoggedOut: (error) => this.ended(words(error)),
      onBroken: (error) => this.setReached(error),
      onReached: () => this.setReached(null),
    });
    this.composer = new Composer({
      onSend: (text) => this.sendMessage(text),
      onStop: () => this.conversation.stop(),
      onDraft: (text) => this.texts?.setDraft(this.roomId ?? NEW, text),
    });
    this.account = new AccountView({
      onProfile: (profile) => this.setProfile(profile),
      onLogOut: () => this.logOut(),
      onErased: (message) => this.erased(message),
      onFault: (error) => this.fault(error),
    });
    offerLanguages(() => this.languageChosen());
    this.listen();
  }

  /** Forms say it at once; a page with chats is read anew, and goes on where it was. */
  languageChosen() {
    if (this.texts) location.reload();
    else this.login.translate();
  }

  listen() {
    addEventListener('hashchange', () => this.route());
    addEventListener('online', () => this.setReached(null));
    addEventListener('offline', () => this.setReached(new Offline()));
    document.addEventListener('visibilitychange', () => this.seen());
    setInterval(() => this.seen(), LIST_IS_OLD);
    byId('new-chat').addEventListener('click', () => this.newChat());
    byId('upgrade').addEventListener('click', () => busy(byId('upgrade'), () => this.upgrade()));
    byId('ideas').addEventListener('click', (event) => {
      const idea = event.target.closest('button');
      if (idea) this.composer.text = idea.textContent;
      this.composer.field.focus();
    });
    byId('skip').addEventListener('click', (event) => {
      event.preventDefault();
      this.composer.field.focus();
    });
    byId('open-side').addEventListener('click', () => this.setSide(true));
    byId('close-side').addEventListener('click', () => this.setSide(false));
    byId('scrim').addEventListener('click', () => this.setSide(false));
    addEventListener('keydown', (event) => { if (event.key === 'Escape' && !document.querySelector('dialog[open]')) this.setSide(false); });
    matchMedia('(min-width: 50rem)').addEventListener('change', () => this.setSide(false));
    onTold((what) => {
      if (what === 'rooms-changed') this.rooms.read();
      if (what === 'logged-out') this.ended(t('loggedOut'));
      if (what === 'logged-in' && !this.texts) this.start();
    });
  }

  // --- Logging in and out ---

  async start() {
    const login = await readLogin();
    if (!login) {
      this.login.show();
      return;
    }
    this.login.hide();
    byId('chat').hidden = false;
    const from = cameBack();
    this.texts = new KeptTexts(login.userId);
    this.outbox = new Outbox(this.texts, {
      onChange: (roomId) => { if (roomId === this.roomId) this.showOutgoing(); },
      onAccepted: (roomId, sent) => this.accepted(roomId, sent),
      onReturned: (roomId, text, error) => this.returned(roomId, text, error),
    });
    this.route();
    this.rooms.read();
    this.readProfile();
    if (from) this.welcomeBack(from);
  }

  async loggedIn({ token, refreshToken, user }) {
    await writeLogin({ token, refreshToken, userId: user.id });
    tellTabs('logged-in');
    await this.start();
  }

  async logOut() {
    try {
      await send('POST', 'auth/logout', { body: {} });
    } catch (error) {
      if (!(error instanceof LoggedOut)) {
        this.fault(error);
        return;
      }
    }
    this.texts?.forget();
    await this.leave();
    this.login.show(t('loggedOut'));
  }

  async erased(message) {
    this.texts?.forget();
    await this.leave();
    this.login.show(message);
  }

  async leave() {
    await forgetLogin();
    tellTabs('logged-out');
    this.end();
    history.replaceState(null, '', location.pathname);
  }

  /** The session has ended, here or elsewhere. What was written stays for the next login. */
  ended(why) {
    if (!this.texts) return;
    this.end();
    this.login.show(why);
  }

  end() {
    this.outbox?.stop();
    this.texts = this.outbox = this.usage = null;
    this.conversation.close();
    this.rooms.clear();
    this.composer.text = '';
    this.roomId = undefined;
    notice('');
    for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
    this.setSide(false);
    byId('chat').hidden = true;
  }

  // --- Which chat is open ---

  route() {
    if (!this.texts) return;
    const roomId = location.hash.match(/^#\/chat\/([\w-]+)$/)?.[1] ?? null;
    if (roomId === this.roomId) return;
    this.roomId = roomId;
    this.setSide(false);
    this.rooms.mark(roomId);
    this.composer.text = this.texts.draft(roomId ?? NEW);
    notice('');
    byId('welcome').hidden = Boolean(roomId);
    const room = this.rooms.rooms.find(({ id }) => id === roomId);
    this.setTitle(room ? nameOf(room) : '');
    this.conversation.open(roomId, () => this.outgoing());
    this.composer.setWaits(Boolean(roomId && this.outbox.in(roomId)));
    this.composer.focus();
  }

  newChat() {
    this.setSide(false);
    if (this.roomId) location.hash = '';
    this.composer.field.focus();
  }

  setTitle(name) {
    byId('room-name').textContent = name;
    document.title = name ? t('chatTitle', { name }) : t('chat');
  }

  gone(roomId) {
    this.rooms.forget(roomId);
    if (roomId !== this.roomId) return;
    this.texts.setDraft(NEW, [this.texts.draft(NEW), this.composer.text].filter(Boolean).join('\n\n'));
    location.hash = '';
    this.route();
    notice(t('chatGone'));
  }

  /** The list of chats on the left, on a phone. */
  setSide(isOpen) {
    const isPhone = !matchMedia('(min-width: 50rem)').matches;
    const wasOpen = byId('side').classList.contains('open');
    byId('side').classList.toggle('open', isOpen && isPhone);
    byId('scrim').hidden = !(isOpen && isPhone);
    byId('room').inert = isOpen && isPhone;
    byId('side').inert = isPhone && !isOpen;
    byId('open-side').setAttribute('aria-expanded', String(isOpen && isPhone));
    if (isOpen && isPhone) byId('close-side').focus();
    else if (wasOpen) byId('open-side').focus();
  }

  // --- Sending ---

  async sendMessage(text) {
    notice('');
    try {
      const roomId = this.roomId ?? await this.openRoom();
      this.composer.text = '';
      this.outbox.add(roomId, text);
    } catch (error) {
      this.fault(error);
    }
  }

  async openRoom() {
    this.composer.setWaits(true);
    try {
      const room = await this.rooms.open();
      this.composer.text = '';
      location.hash = addressOf(room.id);
      this.route();
      return room.id;
    } finally {
      this.composer.setWaits(false);
    }
  }

  outgoing() {
    const delivery = this.outbox.in(this.roomId);
    return delivery && { text: delivery.text, words: onItsWay(delivery.fault), takeBack: () => this.outbox.takeBack(this.roomId) };
  }

  showOutgoing() {
    const outgoing = this.outgoing();
    this.conversation.showOutgoing(outgoing);
    this.composer.setWaits(Boolean(outgoing));
    const fault = this.outbox.in(this.roomId)?.fault;
    if (fault) announce(onItsWay(fault));
  }

  accepted(roomId, sent) {
    this.setReached(null);
    this.setUsage({ ...this.usage, ...sent.quota });
    this.rooms.accepted(roomId, sent);
    if (roomId !== this.roomId) return;
    this.conversation.accepted(sent);
    if (sent.chatroomName) this.setTitle(sent.chatroomName);
  }

  returned(roomId, text, error) {
    if (error instanceof LoggedOut || roomId !== this.roomId) {
      this.texts.setDraft(roomId, [text, this.texts.draft(roomId)].filter(Boolean).join('\n\n'));
    } else {
      this.composer.giveBack(text);
      this.composer.focus();
    }
    if (error) this.fault(error);
  }

  // --- What is shown around ---

  setProfile(profile) {
    const name = profile.name ?? profile.mobileNumber;
    byId('account-name').textContent = name;
    byId('avatar').textContent = (profile.name ?? '').trim() ? [...profile.name.trim()][0].toLocaleUpperCase() : '#';
    byId('greeting').textContent = profile.name ? t('helloName', profile) : t('hello');
    this.setUsage(profile.usage);
  }

  setUsage(usage) {
    this.usage = usage;
    const isBasic = usage.limit !== null;
    byId('account-plan').textContent = t(isBasic ? 'basic' : 'pro');
    byId('quota-text').textContent = isBasic ? quotaWords(usage) : t('canBeWrong');
    byId('quota').classList.toggle('empty', usage.remaining === 0);
    byId('upgrade').hidden = !isBasic;
  }

  async readProfile() {
    try {
      this.setProfile(await json('GET', 'user/me'));
    } catch (error) {
      this.fault(error);
    }
  }

  /** The tab is looked at: what may have changed elsewhere is read again. */
  seen() {
    if (!this.texts || document.visibilityState === 'hidden') return;
    this.rooms.read();
    if (this.usage && new Date(this.usage.resetsAt) < new Date()) this.readProfile();
  }

  setReached(error) {
    const text = !error && navigator.onLine ? '' : error && !(error instanceof Offline) ? t('busyBadge')
      : navigator.onLine ? t('reconnecting') : t('offlineBadge');
    const badge = byId('offline');
    if (badge.hidden === !text && badge.lastElementChild.textContent === text) return;
    badge.hidden = !text;
    show(badge.lastElementChild, text);
  }

  fault(error) {
    if (error instanceof LoggedOut) this.ended(words(error));
    else if (error instanceof Offline && !this.texts) this.login.show(words(error));
    else this.say(words(error), error);
  }

  say(text, error) {
    const canUpgrade = error?.code === 'daily_quota_exceeded';
    if (canUpgrade) this.setUsage({ ...this.usage, limit: error.limit, used: error.used, remaining: 0, resetsAt: error.resetsAt });
    notice(text, canUpgrade ? { label: t('upgrade'), run: () => this.upgrade() } : null);
  }

  // --- Pro ---

  async upgrade() {
    try {
      await upgrade();
    } catch (error) {
      this.fault(error);
    }
  }

  async welcomeBack(from) {
    if (from === 'cancelled') notice(t('nothingBought'));
    if (from === 'cancelled' || from === 'portal') return;
    notice(t('confirming'));
    try {
      const isPro = await becomesPro(from);
      await this.readProfile();
      notice(t(isPro ? 'isPro' : 'notYetPro'));
    } catch (error) {
      this.fault(error);
    }
  }
}

translate(document.documentElement);
new Page().start();
