/**
 * Markdown as elements. The parser makes tokens, and elements are made of them one by one: no HTML is ever parsed, so
 * none that a model writes can take effect. It is shown as the text that it is.
 */

import { Lexer } from '../vendor/marked.js';
import { copyText, icon, make } from './dom.js';
import { t } from './language.js';

const LINKS = new Set(['http:', 'https:', 'mailto:']);
const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', copy: '©', hellip: '…', mdash: '—', ndash: '–', times: '×', rarr: '→', larr: '←', deg: '°', euro: '€' };
const DEEPEST = 40;

const rendered = new WeakMap();

/** Makes a container show a text. Of a text that has grown, what is there already stays as it is. */
export function render(container, text) {
  const blocks = blocksOf(text);
  const before = rendered.get(container) ?? [];
  const same = firstDifference(before, blocks);
  while (container.childNodes.length > same) container.lastChild.remove();
  for (const token of blocks.slice(same)) container.append(blockElement(token, 0));
  rendered.set(container, blocks.map((token) => token.raw));
}

function blocksOf(text) {
  try {
    return new Lexer({ gfm: true, breaks: true }).lex(text).filter(({ type }) => type !== 'space' && type !== 'def');
  } catch { // nested too deeply for the parser
    return [{ type: 'text', raw: text, text }];
  }
}

function firstDifference(before, blocks) {
  const index = blocks.findIndex((token, at) => token.raw !== before[at]);
  return index < 0 ? Math.min(before.length, blocks.length) : index;
}

const BLOCKS = {
  heading: (token, depth) => make(`h${Math.min(token.depth + 2, 6)}`, {}, ...inline(token.tokens, depth)),
  paragraph: (token, depth) => make('p', {}, ...inline(token.tokens, depth)),
  text: (token, depth) => make('p', {}, ...inlineOrText(token, depth)),
  blockquote: (token, depth) => make('blockquote', {}, ...blocks(token.tokens, depth)),
  hr: () => make('hr'),
  code: (token) => codeBlock(token),
  list: (token, depth) => make(token.ordered ? 'ol' : 'ul', { start: token.ordered && token.start !== 1 && token.start },
    ...token.items.map((item) => listItem(item, token.loose, depth))),
  table: (token, depth) => make('div', { class: 'table', tabindex: '0', role: 'group', 'aria-label': t('table') },
    make('table', {}, make('thead', {}, row(token.header, 'th', token.align, depth)),
      make('tbody', {}, ...token.rows.map((cells) => row(cells, 'td', token.align, depth))))),
};

const INLINES = {
  strong: (token, depth) => make('strong', {}, ...inline(token.tokens, depth)),
  em: (token, depth) => make('em', {}, ...inline(token.tokens, depth)),
  del: (token, depth) => make('del', {}, ...inline(token.tokens, depth)),
  codespan: (token) => make('code', {}, token.text),
  br: () => make('br'),
  link: (token, depth) => link(token.href, inline(token.tokens, depth), token.raw),
  // A picture would be fetched from wherever the model says: it stays a link.
  image: (token) => link(token.href, [decode(token.text) || token.href], token.raw),
  escape: (token) => token.text,
  text: (token, depth) => (token.tokens ? make('span', {}, ...inline(token.tokens, depth)) : decode(token.text)),
  checkbox: (token) => make('input', { type: 'checkbox', disabled: true, checked: token.checked, 'aria-label': t('done') }),
};

function blockElement(token, depth) {
  const build = BLOCKS[token.type];
  return build && depth < DEEPEST ? build(token, depth + 1) : make('p', {}, token.raw);
}

const blocks = (tokens, depth) => tokens.filter(({ type }) => type !== 'space' && type !== 'def')
  .map((token) => blockElement(token, depth));

function inline(tokens = [], depth = 0) {
  return tokens.map((token) => {
    const build = INLINES[token.type];
    return build && depth < DEEPEST ? build(token, depth + 1) : token.raw;
  });
}

const inlineOrText = (token, depth) => (token.tokens ? inline(token.tokens, depth) : [decode(token.text)]);

function listItem(item, loose, depth) {
  const children = item.tokens.filter(({ type }) => type !== 'space').flatMap((token) => {
    if (token.type === 'checkbox') return INLINES.checkbox(token);
    return token.type === 'text' && !loose ? inlineOrText(token, depth) : [blockElement(token, depth)];
  });
  const hasBox = item.tokens.some((token) => token.type === 'checkbox' || token.tokens?.some(({ type }) => type === 'checkbox'));
  if (item.task && !hasBox) children.unshift(INLINES.checkbox(item), ' ');
  return make('li', { class: item.task ? 'task' : null }, ...children);
}

function row(cells, tag, align, depth) {
  return make('tr', {}, ...cells.map((cell, column) => make(tag, {
    class: align[column] && `align-${align[column]}`, scope: tag === 'th' && 'col', dir: 'auto',
  }, ...inline(cell.tokens, depth))));
}

/** A link to another site in a tab of its own; text where it leads anywhere else. */
function link(href, children, raw) {
  let url;
  try {
    url = new URL(decode(href));
  } catch {
    return raw;
  }
  if (!LINKS.has(url.protocol)) return raw;
  return make('a', { href: url.href, target: '_blank', rel: 'noopener noreferrer nofollow' }, ...children);
}

function codeBlock(token) {
  const language = (token.lang ?? '').match(/^[\w+#.-]{1,24}/)?.[0] ?? '';
  const copy = make('button', { type: 'button', class: 'copy', 'aria-label': t('copyCode'), onclick: () => copyText(token.text, copy) },
    icon('copy'), ` ${t('copy')}`);
  return make('div', { class: 'code', dir: 'ltr' },
    make('div', { class: 'code-head' }, make('span', {}, language || t('codeBlock')), copy),
    make('pre', { tabindex: '0', 'aria-label': language ? t('codeBlockIn', { language }) : t('codeBlock') }, make('code', {}, token.text)));
}

/** The text with its character references resolved; unknown ones stay as they are. */
function decode(text) {
  return text.replace(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(\w{2,8}));/g, (whole, decimal, hex, name) => {
    if (name) return Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : whole;
    const point = decimal ? Number(decimal) : parseInt(hex, 16);
    return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}
