/** The language of the page: its texts, numbers and dates, and the user's choice. docs/languages.md adds another. */

import * as en from './texts/en.js';
import * as hi from './texts/hi.js';

const CATALOGUES = { en, hi };
const DEFAULT = 'en';
const KEPT = 'chat:language';

/** `{tag, name}` of each language, named in itself. */
export const LANGUAGES = Object.entries(CATALOGUES).map(([tag, { NAME }]) => ({ tag, name: NAME }));

let current;
speak(chosenOrPreferred());

/** The tag of the page's language (BCP 47). */
export const language = () => current.tag;

/** Speaks another language from now on, and remembers it in this browser. What is shown already is not changed. */
export function choose(tag) {
  try {
    localStorage.setItem(KEPT, tag);
  } catch { /* it holds until the page is closed */ }
  speak(tag);
}

function speak(tag) {
  // As the user's own region writes them: en-GB where the browser says so.
  const locale = navigator.languages.find((one) => primary(one) === tag) ?? tag;
  current = {
    tag,
    locale,
    catalogue: CATALOGUES[tag],
    plural: new Intl.PluralRules(tag),
    numbers: new Intl.NumberFormat(locale),
    relative: new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }),
  };
  document.documentElement.lang = tag;
}

function chosenOrPreferred() {
  return [chosen(), ...navigator.languages].map(primary).find((tag) => Object.hasOwn(CATALOGUES, tag)) ?? DEFAULT;
}

function chosen() {
  try {
    return localStorage.getItem(KEPT) ?? '';
  } catch {
    return '';
  }
}

function primary(tag) {
  return tag.toLowerCase().split('-')[0];
}

/** A text of the page, its {names} filled in. */
export const t = (key, values) => fill(current.catalogue.TEXTS[key], values);

/** The text for a code of the API, its {names} filled in; undefined where there is none. `values()` gives them. */
export function textFor(kind, code, values = () => ({})) {
  const texts = current.catalogue[kind];
  return Object.hasOwn(texts, code ?? '') ? fill(texts[code], values()) : undefined;
}

function fill(text, values = {}) {
  const form = typeof text === 'string' ? text : text[current.plural.select(values.count)] ?? text.other;
  return form.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === 'number' ? current.numbers.format(value) : value ?? '';
  });
}

const PLACES = {
  text: (element, text) => { element.textContent = text; },
  label: (element, text) => element.setAttribute('aria-label', text),
  placeholder: (element, text) => element.setAttribute('placeholder', text),
  title: (element, text) => element.setAttribute('title', text),
};

/** Writes the texts into markup: `data-text`, `data-label`, `data-placeholder` and `data-title` name them. */
export function translate(root) {
  for (const [place, write] of Object.entries(PLACES)) {
    const attribute = `data-${place}`;
    for (const element of root.querySelectorAll(`[${attribute}]`)) write(element, t(element.getAttribute(attribute)));
    if (root.hasAttribute(attribute)) write(root, t(root.getAttribute(attribute)));
  }
}

// --- Times, in the time of this browser ---

/** `at 05:30 (in 3 hours)` */
export function at(moment) {
  const time = new Date(moment).toLocaleTimeString(current.locale, current.catalogue.CLOCK);
  return t('atTime', { time, distance: fromNow(moment) });
}

const UNITS = [['day', 86400], ['hour', 3600], ['minute', 60]];

/** `in 3 hours`, `2 days ago`, `just now` */
export function fromNow(moment) {
  const distance = (new Date(moment) - Date.now()) / 1000;
  for (const [unit, length] of UNITS) {
    if (Math.abs(distance) >= length) return current.relative.format(Math.round(distance / length), unit);
  }
  return distance > 0 ? t('inMoments') : t('justNow');
}

export const day = (moment) => new Date(moment).toLocaleDateString(current.locale, { dateStyle: 'medium' });
