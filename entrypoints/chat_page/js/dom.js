/** Elements, icons, announcements for screen readers, and dialogs that ask. */

import { t, translate } from './language.js';

const SVG = 'http://www.w3.org/2000/svg';

export const byId = (id) => document.getElementById(id);

/** An element with attributes, listeners (`onclick`) and children; text is text, never HTML. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** The first element of a template's copy, with its texts. */
export function copyOf(templateId) {
  const copy = byId(templateId).content.firstElementChild.cloneNode(true);
  translate(copy);
  return copy;
}

/** Shows a text, or hides its element where there is none. */
export function show(element, text) {
  element.textContent = text ?? '';
  element.hidden = !text;
}

/** Has a screen reader say it when it is silent next. */
export function announce(text) {
  const announcer = byId('announcer');
  announcer.textContent = '';
  requestAnimationFrame(() => { announcer.textContent = text; });
}

/**
 * Asks in a dialog. Resolves to null where the user declines; else to the text of the input, or to '' without one.
 * `accepts` tells which input can be confirmed.
 */
export function ask({ title, text = '', confirm, danger = false, label = '', value = '', accepts = () => true }) {
  const input = byId('ask-input');
  const yes = byId('ask-yes');
  byId('ask-title').textContent = title;
  show(byId('ask-text'), text);
  show(byId('ask-label'), label);
  input.hidden = !label;
  input.value = value;
  yes.textContent = confirm;
  yes.className = danger ? 'danger filled' : 'primary';
  const check = () => { yes.disabled = Boolean(label) && !accepts(input.value.trim()); };
  check();
  input.oninput = check;
  const answered = answerOf(byId('ask'), () => input.value.trim());
  if (label) input.select();
  return answered;
}

/** Opens a dialog. Resolves to its `answer()` where the user confirms, and to null where the user declines. */
export function answerOf(dialog, answer) {
  dialog.querySelector('[data-decline]').onclick = () => dialog.close('');
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === 'yes' ? answer() : null);
  });
}

/** Runs a task while a button is busy: a second click does nothing. */
export async function busy(button, task) {
  if (button.getAttribute('aria-disabled') === 'true') return undefined;
  button.setAttribute('aria-disabled', 'true');
  try {
    return await task();
  } finally {
    button.removeAttribute('aria-disabled');
  }
}

/** Has the browser save a text as a file. */
export function save(text, type, name) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  make('a', { href: url, download: name }).click();
  URL.revokeObjectURL(url);
  announce(t('exported'));
}

export async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    announce(t('cannotCopy'));
    return;
  }
  announce(t('copied'));
  const use = button.querySelector('use');
  use.setAttribute('href', '#icon-check');
  setTimeout(() => use.setAttribute('href', '#icon-copy'), 1500);
}
