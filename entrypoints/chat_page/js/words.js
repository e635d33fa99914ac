/** What the page says of errors, of failed replies, of what is left, and of devices. The texts are in texts/. */

import { LoggedOut, Offline } from './api.js';
import { at, fromNow, t, textFor } from './language.js';

/** What a chat is called; one that has no message yet has no name. */
export const nameOf = ({ name }) => name || t('newChat');

/** An error in words that help. */
export function words(error) {
  if (error instanceof Offline) return navigator.onLine ? t('unreachable') : t('offline');
  if (error instanceof LoggedOut) return t('loggedOutKept');
  if (error.code === 'otp_invalid') return wrongCode(error);
  if (error.code === 'validation_failed') return fields(error);
  const known = textFor('DEPENDENCIES', error.dependency) ?? textFor('PROBLEMS', error.code, () => factsOf(error));
  if (known) return known;
  if (error.status === 503) return t('notWell');
  if (error.status === 429) return t('tooMuch', factsOf(error));
  if (error.status >= 500) return t('ourFault', { id: error.requestId ?? String(error.status) });
  if (error.status) return [error.message, error.detail].filter(Boolean).join(': ');
  console.error(error);
  return t('didNotWork');
}

/** What the texts of problems may say. */
function factsOf({ limit, resetsAt, retryAfter }) {
  return {
    limit,
    when: resetsAt && at(resetsAt),
    seconds: t('seconds', { count: retryAfter ?? 30 }),
    later: fromNow(Date.now() + (retryAfter ?? 60) * 1000),
  };
}

function wrongCode({ attemptsLeft }) {
  return attemptsLeft === undefined ? t('wrongCode') : t('wrongCodeLeft', { count: attemptsLeft });
}

function fields({ errors = {} }) {
  return Object.entries(errors).map(([name, lines]) => textFor('FIELDS', name) ?? `${name}: ${lines.join(' ')}`).join(' ');
}

// Problems whose texts also fit while it is tried again.
const PASSING = new Set(['backlog_full', 'too_many_unfinished_replies']);

/** What is said of a message that is still on its way. */
export function onItsWay(fault) {
  if (!fault) return t('sending');
  if (fault instanceof Offline) return navigator.onLine ? t('sendingLost') : t('sendingOffline');
  return t('sendingAgain', { why: PASSING.has(fault.code) ? textFor('PROBLEMS', fault.code) : t('busy') });
}

/** Why a reply failed, and that it cost nothing. */
export function failure(error) {
  return t('costNothing', { why: textFor('FAILURES', error?.code) ?? error?.detail ?? t('answerFailed') });
}

export function quotaWords(usage) {
  if (usage.limit === null) return t('quotaPro');
  return usage.remaining > 0 ? t('quotaLeft', usage) : t('quotaEmpty', { when: at(usage.resetsAt) });
}

const BROWSERS = [['Edg/', 'Edge'], ['OPR/', 'Opera'], ['Firefox/', 'Firefox'], ['Chrome/', 'Chrome'], ['Safari/', 'Safari']];
const SYSTEMS = [['iPhone', 'iPhone'], ['iPad', 'iPad'], ['Android', 'Android'], ['Windows', 'Windows'], ['Mac OS', 'Mac'], ['Linux', 'Linux']];

/** `Chrome on Android`, of a User-Agent; other devices under their own name. */
export function device(agent) {
  const find = (names) => names.find(([sign]) => agent?.includes(sign))?.[1];
  const browser = find(BROWSERS);
  const system = find(SYSTEMS);
  if (browser && system) return t('device', { browser, system });
  return agent?.split(/[\s(]/)[0] || t('unknownDevice');
}
