/** The buttons by which the language of the page is chosen. */

import { make } from './dom.js';
import { choose, language, LANGUAGES } from './language.js';

/** Fills their groups. `onChosen()`: another language was chosen, and is remembered. */
export function offerLanguages(onChosen) {
  const groups = document.querySelectorAll('.languages');
  const mark = () => {
    for (const button of document.querySelectorAll('.languages button')) {
      button.setAttribute('aria-pressed', String(button.lang === language()));
    }
  };
  const press = ({ currentTarget }) => {
    if (currentTarget.lang === language()) return;
    choose(currentTarget.lang);
    mark();
    onChosen();
  };
  for (const group of groups) {
    group.append(...LANGUAGES.map(({ tag, name }) => make('button', { type: 'button', class: 'link', lang: tag, onclick: press }, name)));
  }
  mark();
}
