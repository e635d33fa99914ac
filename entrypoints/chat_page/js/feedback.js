/** What was wrong with an answer: asked in a dialog. */

import { answerOf, byId, make } from './dom.js';
import { textsOf } from './language.js';

/** Resolves to `{reasons, comment}`, or to null where the user says no more. */
export function whatWasWrong() {
  const comment = byId('feedback-comment');
  const reasons = byId('feedback-reasons');
  const choices = Object.entries(textsOf('REASONS')).map(([reason, text]) => {
    const box = make('input', { type: 'checkbox', value: reason });
    return { box, label: make('label', {}, box, text) };
  });
  reasons.replaceChildren(reasons.querySelector('legend'), ...choices.map(({ label }) => label));
  comment.value = '';
  return answerOf(byId('feedback'), () => ({
    reasons: choices.filter(({ box }) => box.checked).map(({ box }) => box.value),
    comment: comment.value.trim() || null,
  }));
}
