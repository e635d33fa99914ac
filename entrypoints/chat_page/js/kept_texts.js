/** Texts that must not be lost: drafts, and messages on their way. Kept in this browser, by user and chatroom. */

const PREFIX = 'chat:';
// What could not be stored: the storage is full or forbidden.
const memory = new Map();

function read(name) {
  try {
    return memory.get(name) ?? localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

function write(name, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
    memory.delete(name);
  } catch {
    memory.set(name, value);
  }
}

export class KeptTexts {
  constructor(userId) {
    this.userId = userId;
  }

  /** `roomId` may be `new`, for a chat that is still to be opened. */
  draft(roomId) {
    return read(`draft:${this.userId}:${roomId}`) ?? '';
  }

  setDraft(roomId, text) {
    write(`draft:${this.userId}:${roomId}`, text || null);
  }

  /** Messages on their way, by room: `{text, key}`. */
  outgoing() {
    return JSON.parse(read(`outgoing:${this.userId}`) ?? '{}');
  }

  setOutgoing(roomId, message) {
    const all = this.outgoing();
    if (message) all[roomId] = message;
    else delete all[roomId];
    write(`outgoing:${this.userId}`, JSON.stringify(all));
  }

  /** Nothing of the user stays in this browser. */
  forget() {
    for (const name of [...memory.keys(), ...storedNames()]) {
      if (name.includes(`:${this.userId}`)) write(name, null);
    }
  }
}

function storedNames() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(PREFIX)).map((key) => key.slice(PREFIX.length));
  } catch {
    return [];
  }
}
