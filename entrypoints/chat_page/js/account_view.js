/** One's own account: profile, plan, sessions, export, erasure. */

import { json, Offline, pause, Problem, send } from './api.js';
import { announce, ask, busy, byId, make } from './dom.js';
import { at, day, fromNow, t } from './language.js';
import { device, quotaWords, words } from './words.js';

const RETURN_PARAMETER = 'checkout';
// A payment is confirmed within a second or two; webhooks may be late.
const CONFIRMATIONS = 20;

export class AccountView {
  /** `onProfile(profile)`, `onLogOut()`, `onErased()`, `onFault(error)`. */
  constructor(handlers) {
    Object.assign(this, handlers);
    this.dialog = byId('account');
    this.dialog.querySelector('[data-close]').addEventListener('click', () => this.dialog.close());
    byId('open-account').addEventListener('click', () => this.open());
    byId('profile').addEventListener('submit', (event) => {
      event.preventDefault();
      this.guard('profile-problem', event.submitter, () => this.save());
    });
    this.onClick('plan-upgrade', 'plan-problem', upgrade);
    this.onClick('plan-manage', 'plan-problem', manage);
    this.onClick('end-others', 'sessions-problem', () => this.endOthers());
    this.onClick('export', 'data-problem', exportAccount);
    this.onClick('erase', 'data-problem', () => this.erase());
    byId('log-out').addEventListener('click', () => {
      this.dialog.close();
      this.onLogOut();
    });
  }

  onClick(id, problem, task) {
    byId(id).addEventListener('click', () => this.guard(problem, byId(id), task));
  }

  guard(problem, button, task) {
    return busy(button, async () => {
      byId(problem).textContent = '';
      try {
        await task();
      } catch (error) {
        byId(problem).textContent = words(error);
        if (!(error instanceof Problem || error instanceof Offline)) this.onFault(error);
      }
    });
  }

  async open() {
    for (const problem of this.dialog.querySelectorAll('.problem')) problem.textContent = '';
    byId('profile-saved').textContent = '';
    if (!this.dialog.open) this.dialog.showModal();
    await Promise.all([
      this.guard('profile-problem', this.dialog, () => this.readProfile()),
      this.guard('plan-problem', byId('plan-meter'), () => this.readPlan()),
      this.guard('sessions-problem', byId('sessions'), () => this.readSessions()),
    ]);
  }

  async readProfile() {
    this.showProfile(await json('GET', 'user/me'));
  }

  showProfile(profile) {
    byId('profile-number').textContent = profile.mobileNumber;
    byId('profile-name').value = profile.name ?? '';
    byId('profile-email').value = profile.email ?? '';
    this.onProfile(profile);
  }

  async save() {
    const body = { name: byId('profile-name').value.trim() || null, email: byId('profile-email').value.trim() || null };
    this.showProfile(await json('PATCH', 'user/me', { body }));
    byId('profile-saved').textContent = t('saved');
  }

  async readPlan() {
    const plan = await json('GET', 'subscription/status');
    const isPro = plan.tier === 'pro';
    const { usage } = plan;
    byId('plan-name').textContent = t(isPro ? 'pro' : 'basic');
    byId('plan-text').textContent = isPro ? proWords(plan) : quotaWords(usage);
    byId('plan-upgrade').hidden = isPro;
    byId('plan-manage').hidden = plan.status === null;
    const meter = byId('plan-meter');
    meter.hidden = usage.limit === null;
    if (usage.limit !== null) {
      Object.assign(meter, { max: usage.limit, value: usage.remaining });
      meter.title = t('promptsUsed', { ...usage, when: at(usage.resetsAt) });
    }
  }

  async readSessions() {
    const sessions = await json('GET', 'auth/sessions');
    byId('sessions').replaceChildren(...sessions.map((session) => this.sessionItem(session)));
    byId('end-others').hidden = sessions.length < 2;
  }

  sessionItem({ id, device: agent, lastUsedAt, startedAt, current }) {
    const name = device(agent);
    const end = make('button', { type: 'button', class: 'secondary small-button', 'aria-label': t('logOutDevice', { device: name }),
      onclick: () => this.guard('sessions-problem', end, async () => {
        await send('DELETE', `auth/sessions/${id}`);
        announce(t('loggedOutDevice', { device: name }));
        await this.readSessions();
      }) }, t('logOut'));
    return make('li', {},
      make('div', {}, make('p', {}, name), make('p', { class: 'muted' },
        current ? t('thisDevice', { day: day(startedAt) }) : t('lastUsed', { when: fromNow(lastUsedAt) }))),
      ...(current ? [] : [end]));
  }

  async endOthers() {
    await json('POST', 'auth/logout', { body: { scope: 'others' } });
    announce(t('loggedOutOthers'));
    await this.readSessions();
  }

  async erase() {
    const confirmed = await ask({
      title: t('eraseHeading'), text: t('eraseAbout'), label: t('eraseLabel'), confirm: t('eraseAll'), danger: true,
      // Not every keyboard has the script of the page.
      accepts: (text) => [t('eraseWord').normalize(), 'erase'].includes(text.normalize().toLowerCase()),
    });
    if (confirmed === null) return;
    const { complete } = await json('DELETE', 'user/me');
    this.dialog.close();
    this.onErased(t(complete ? 'erased' : 'erasedButLast'));
  }
}

function proWords({ status, currentPeriodEnd, cancelAtPeriodEnd }) {
  if (status === 'past_due') return t('paymentFailed');
  if (!currentPeriodEnd) return t('noLimit');
  return t(cancelAtPeriodEnd ? 'noLimitEnds' : 'noLimitRenews', { day: day(currentPeriodEnd) });
}

// --- Buying ---

/** Goes to the checkout; the buyer comes back to this page. */
export async function upgrade() {
  const urls = { successUrl: returnUrl('{CHECKOUT_SESSION_ID}'), cancelUrl: returnUrl('cancelled') };
  const { url } = await withReturn('subscribe/pro', urls);
  leave(url);
}

async function manage() {
  const { url } = await withReturn('subscription/portal', { returnUrl: returnUrl('portal') });
  leave(url);
}

/** Asks for a page of the payment provider. Where this origin is not one to return to, it returns elsewhere. */
async function withReturn(path, urls) {
  try {
    return await json('POST', path, { body: urls });
  } catch (error) {
    if (error.status !== 422) throw error;
    return json('POST', path, { body: {} });
  }
}

function leave(url) {
  sessionStorage.setItem('chat:return', location.hash);
  location.assign(url);
}

const returnUrl = (value) => `${location.origin}${location.pathname}?${RETURN_PARAMETER}=${value}`;

/** What the user comes back from, if from buying: `cancelled`, `portal`, or the id of a checkout. Said once. */
export function cameBack() {
  const from = new URLSearchParams(location.search).get(RETURN_PARAMETER);
  if (from === null) return null;
  const hash = sessionStorage.getItem('chat:return') ?? '';
  sessionStorage.removeItem('chat:return');
  history.replaceState(null, '', location.pathname + hash);
  return from;
}

/** Whether the account is Pro, once the payment is confirmed. */
export async function becomesPro(checkoutId) {
  // This page of the service asks the payment provider at once, should its event be late.
  await fetch(new URL(`../success?session_id=${encodeURIComponent(checkoutId)}`, document.baseURI)).catch(() => {});
  for (let tries = 0; tries < CONFIRMATIONS; tries += 1) {
    const { tier } = await json('GET', 'subscription/status');
    if (tier === 'pro') return true;
    await pause(1000);
  }
  return false;
}

// --- Export ---

async function exportAccount() {
  const response = await send('GET', 'user/export', { streams: true });
  const text = await response.text();
  // The last line says that it is whole.
  const last = JSON.parse(text.trimEnd().split('\n').at(-1) || '{}');
  if (last.type !== 'end') throw new Offline();
  const url = URL.createObjectURL(new Blob([text], { type: 'application/x-ndjson' }));
  const link = make('a', { href: url, download: `chat-export-${new Date().toISOString().slice(0, 10)}.ndjson` });
  link.click();
  URL.revokeObjectURL(url);
  announce(t('exported'));
}

