/**
 * Sends messages, one at a time in each room, until the service has accepted or refused them. The Idempotency-Key is
 * kept with the text, so that a message is sent once however often it is tried, also after a reload.
 */

import { delayAfter, json, LoggedOut, newKey, Offline, pause } from './api.js';

export class Outbox {
  /**
   * `onChange(roomId)`: what is on its way has changed. `onAccepted(roomId, sent)`: the answer of the API.
   * `onReturned(roomId, text, error)`: it was not sent; error is null where the user took it back.
   */
  constructor(texts, { onChange, onAccepted, onReturned }) {
    Object.assign(this, { texts, onChange, onAccepted, onReturned });
    this.deliveries = new Map();
    for (const [roomId, message] of Object.entries(texts.outgoing())) this.deliver(roomId, message);
  }

  /** `{text, fault}` of the message on its way, if any. */
  in(roomId) {
    return this.deliveries.get(roomId);
  }

  add(roomId, text) {
    const message = { text, key: newKey() };
    this.texts.setOutgoing(roomId, message);
    this.deliver(roomId, message);
  }

  takeBack(roomId) {
    this.deliveries.get(roomId)?.controller.abort();
  }

  stop() {
    this.stopped = true;
    for (const { controller } of this.deliveries.values()) controller.abort();
  }

  async deliver(roomId, { text, key }) {
    const delivery = { text, fault: null, controller: new AbortController() };
    this.deliveries.set(roomId, delivery);
    this.onChange(roomId);
    try {
      const sent = await this.untilAnswered(roomId, { text, key }, delivery);
      this.end(roomId);
      this.onAccepted(roomId, sent);
    } catch (error) {
      if (this.stopped) return; // it stays kept: the user comes back
      this.end(roomId);
      this.onReturned(roomId, text, delivery.controller.signal.aborted ? null : error);
    }
  }

  async untilAnswered(roomId, { text, key }, delivery) {
    const { signal } = delivery.controller;
    for (let failures = 0; ; failures += 1) {
      try {
        return await json('POST', `chatroom/${roomId}/message`, { body: { message: text }, key, signal });
      } catch (error) {
        if (signal.aborted || error instanceof LoggedOut || !(error instanceof Offline || error.passes)) throw error;
        delivery.fault = error;
        this.onChange(roomId);
        await pause(delayAfter(error, failures), signal);
      }
    }
  }

  end(roomId) {
    this.deliveries.delete(roomId);
    this.texts.setOutgoing(roomId, null);
    this.onChange(roomId);
  }
}
