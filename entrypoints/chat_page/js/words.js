/** What the page says: of errors, of times, of what is left. */

import { LoggedOut, Offline } from './api.js';

const PROBLEMS = {
  otp_resend_too_soon: (p) => `A code was sent a moment ago. You can ask for another in ${seconds(p)}.`,
  otp_sends_exhausted: (p) => `No more codes can be sent for now. Try again ${later(p)}.`,
  otp_locked: (p) => `Too many wrong codes. Try again ${later(p)}.`,
  credentials_invalid: 'Number and password do not belong together.',
  account_locked: 'The operator of the service has locked this account.',
  phone_taken: 'This number has an account already: log in with a code.',
  daily_quota_exceeded: (p) => `Today’s ${p.limit} prompts are used up. They come back ${at(p.resetsAt)}. Your text is kept.`,
  too_many_unfinished_replies: 'Many of your replies are still being written. Your text is kept; send it when some are done.',
  too_many_messages: 'Your account holds as many messages as it may. Delete a chat you no longer need, then send again.',
  too_many_chatrooms: 'You have as many chats as you may. Delete one that you no longer need.',
  search_too_broad: 'That finds too much. Search for longer words, or for more of them.',
  too_many_pinned: (p) => `${p.limit} chats are pinned, and no more can be. Unpin one first.`,
  chatroom_not_found: 'This chat was deleted on another device. Your text is kept.',
  message_not_found: 'This message is gone.',
  payload_too_large: 'This message is too long. Your text is kept: make it shorter.',
  dependency_unavailable: ({ dependency }) => ({
    otp_delivery: 'The code could not be sent. Try again in a moment.',
    payments: 'Plans cannot be bought or changed at the moment. Nothing was bought; try again later.',
  })[dependency] ?? 'The service is busy or being restarted. Try again in a moment.',
  backlog_full: 'Very many people are asking at the moment.',
  rate_limited: (p) => `That was a lot at once. Try again in ${seconds(p)}.`,
  reply_not_done: 'There is another answer on its way already.',
  reply_not_failed: 'There is an answer to this already.',
  reply_finished: 'The reply was finished already.',
  already_subscribed: 'You have Pro already.',
  not_subscribed: 'There is no subscription.',
};

/** What is said of the list of chats. */
export const ROOM_WORDS = {
  unnamed: 'New chat',
  pin: (name) => `Pin ${name}`,
  unpin: (name) => `Unpin ${name}`,
  pinned: 'Pinned.',
  unpinned: 'Unpinned.',
  archive: (name) => `Archive ${name}`,
  unarchive: (name) => `Take ${name} out of the archive`,
  archived: 'Archived.',
  unarchived: 'Taken out of the archive.',
  showArchive: 'Archived chats',
  backToChats: 'Back to your chats',
  archiveShown: 'These are your archived chats.',
  chatsShown: 'These are your chats.',
  archiveEmpty: 'Chats that you archive will be listed here.',
};

/** What is said of messages that were searched for. */
export const SEARCH_WORDS = {
  you: 'You',
  reply: 'Reply',
  found: (count) => (count === 1 ? 'One message found.' : `${count} messages found.`),
  incomplete: 'Older messages are still being made searchable.',
};

/** What a chat is called; one that has no message yet has no name. */
export const nameOf = ({ name }) => name || ROOM_WORDS.unnamed;

/** An error in words that help. */
export function words(error) {
  if (error instanceof Offline) return navigator.onLine ? 'The service cannot be reached.' : 'You are offline.';
  if (error instanceof LoggedOut) return 'You were logged out. Log in again; your text is kept.';
  const known = PROBLEMS[error.code];
  if (known) return typeof known === 'function' ? known(error) : known;
  if (error.code === 'otp_invalid') return wrongCode(error);
  if (error.code === 'validation_failed') return fields(error);
  if (error.status === 503) return 'The service is busy or being restarted. Try again in a moment.';
  if (error.status === 429) return `That was a lot at once. Try again in ${seconds(error)}.`;
  if (error.status >= 500) return `Something went wrong on our side (${error.requestId ?? error.status}).`;
  if (!error.status) console.error(error);
  return error.detail ?? `${error.message || 'That did not work'}.`;
}

/** What is said of a message that is still on its way. */
export function onItsWay(fault) {
  if (!fault) return 'Sending…';
  if (fault instanceof Offline) {
    return navigator.onLine ? 'The service cannot be reached. Trying again…' : 'You are offline. This is sent when the connection is back.';
  }
  const why = PROBLEMS[fault.code];
  return `${typeof why === 'string' ? why : 'The service is busy.'} Trying again…`;
}

const FAILURES = {
  model_busy: 'The model has too much to do right now.',
  model_unreachable: 'The model cannot be reached right now.',
  model_rejected_request: 'The model did not accept this message.',
  model_not_found: 'The model is not available.',
  model_misconfigured: 'The service may not use its model. Only its operator can mend that.',
  prompt_too_long: 'The message is too long for the model. Shorten it, or send it in parts.',
  refused: 'The model declined to answer this. It may help to put it differently.',
  answer_interrupted: 'The model broke its answer off. Ask again.',
  empty_answer: 'The model had nothing to say to this.',
  deadline_exceeded: 'There was no answer in time.',
  attempts_exhausted: 'The answer failed several times.',
  given_up: 'The operator of the service ended this answer.',
  not_storable: 'The answer could not be kept. It may help to put the message differently.',
};

/** Why a reply failed, and that it cost nothing. */
export function failure(error) {
  return `${FAILURES[error?.code] ?? error?.detail ?? 'The answer failed.'} This did not use up a prompt.`;
}

export function quotaWords(usage) {
  if (!usage) return '';
  if (usage.limit === null) return 'Pro: no daily limit.';
  if (usage.remaining > 0) return `${usage.remaining} of ${usage.limit} prompts left today.`;
  return `No prompts left today. They come back ${at(usage.resetsAt)}.`;
}

/** `at 05:30 (in 3 hours)`, in the time of this browser. */
export function at(moment) {
  const when = new Date(moment);
  return `at ${when.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })} (${fromNow(when)})`;
}

const UNITS = [['day', 86400], ['hour', 3600], ['minute', 60]];
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

/** `in 3 hours`, `2 days ago`, `now`. */
export function fromNow(moment) {
  const distance = (new Date(moment) - Date.now()) / 1000;
  for (const [unit, length] of UNITS) {
    if (Math.abs(distance) >= length) return relative.format(Math.round(distance / length), unit);
  }
  return distance > 0 ? 'in less than a minute' : 'just now';
}

export const day = (moment) => new Date(moment).toLocaleDateString([], { dateStyle: 'medium' });

const BROWSERS = [['Edg/', 'Edge'], ['OPR/', 'Opera'], ['Firefox/', 'Firefox'], ['Chrome/', 'Chrome'], ['Safari/', 'Safari']];
const SYSTEMS = [['iPhone', 'iPhone'], ['iPad', 'iPad'], ['Android', 'Android'], ['Windows', 'Windows'], ['Mac OS', 'Mac'], ['Linux', 'Linux']];

/** `Chrome on Android`, of a User-Agent; other devices under their own name. */
export function device(agent) {
  const find = (names) => names.find(([sign]) => agent?.includes(sign))?.[1];
  const browser = find(BROWSERS);
  const system = find(SYSTEMS);
  if (browser && system) return `${browser} on ${system}`;
  return agent?.split(/[\s(]/)[0] || 'Unknown device';
}

function wrongCode({ attemptsLeft }) {
  if (attemptsLeft === undefined) return 'That is not the code.';
  return `That is not the code. ${attemptsLeft === 1 ? 'One try is' : `${attemptsLeft} tries are`} left.`;
}

function fields({ errors = {} }) {
  if (errors.mobileNumber) return 'That is not a phone number we can read. Start with + and the country code.';
  const names = { otp: 'Code', password: 'Password', newPassword: 'Password', name: 'Name', email: 'Email', message: 'Message' };
  return Object.entries(errors).map(([name, lines]) => `${names[name] ?? name}: ${lines.join(' ').replace(/\.$/, '')}.`).join(' ');
}

const seconds = (problem) => {
  const left = problem.retryAfter ?? 30;
  return left === 1 ? 'a second' : `${left} seconds`;
};
const later = (problem) => fromNow(Date.now() + (problem.retryAfter ?? 60) * 1000);
