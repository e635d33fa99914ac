/**
 * The login of this browser, one for all of its tabs: the tokens and whose they are.
 *
 * It is kept in IndexedDB, since what one tab has committed there every other tab reads; localStorage may be a moment
 * behind in another process. docs/decisions/0027 says why the refresh token is kept at all.
 */

const DATABASE = 'chat';
const STORE = 'login';
const KEY = 'current';

let opened;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function transact(mode, work) {
  const transaction = (await database()).transaction(STORE, mode);
  const request = work(transaction.objectStore(STORE));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

/** `{token, refreshToken, userId}`, or undefined where nobody is logged in. */
export const readLogin = () => transact('readonly', (store) => store.get(KEY));
export const writeLogin = (login) => transact('readwrite', (store) => store.put(login, KEY));
export const forgetLogin = () => transact('readwrite', (store) => store.delete(KEY));

/** Runs a task while no other tab runs one of the same name. */
export function exclusively(name, task) {
  // Pages that are not served over HTTPS, or from this machine, have no locks.
  return navigator.locks ? navigator.locks.request(name, task) : task();
}

/** Runs a task that learns whether it is the only one of its name in all tabs. */
export function perhapsExclusively(name, task) {
  return navigator.locks
    ? navigator.locks.request(name, { ifAvailable: true }, (lock) => task(Boolean(lock)))
    : task(true);
}

const channel = new BroadcastChannel('chat');

/** Tells the other tabs: `logged-in`, `logged-out`, or `rooms-changed`. */
export const tellTabs = (what) => channel.postMessage(what);
export const onTold = (listener) => channel.addEventListener('message', (event) => listener(event.data));
