/** Logging in: by number and code, or by password; a new number becomes an account. */

import { json } from './api.js';
import { busy, byId, show } from './dom.js';
import { t, translate } from './language.js';
import { words } from './words.js';

const FORMS = ['number-form', 'code-form', 'password-form'];

export class LoginView {
  /** `onLogin({token, refreshToken, user})` */
  constructor({ onLogin }) {
    this.onLogin = onLogin;
    /** Writes how long it takes until another code can be sent. */
    this.tick = null;
    this.submit('number-form', 'number-problem', () => this.begin());
    this.submit('code-form', 'code-problem', () => this.verify());
    this.submit('password-form', 'password-problem', () => this.logIn());
    byId('use-password').addEventListener('click', () => {
      byId('password-number').value = byId('number').value;
      this.turnTo('password-form', byId('password-number').value ? 'password' : 'password-number');
    });
    byId('use-code').addEventListener('click', () => this.turnTo('number-form', 'number'));
    byId('other-number').addEventListener('click', () => this.turnTo('number-form', 'number'));
    byId('fill-code').addEventListener('click', () => {
      byId('code').value = byId('shown-code-value').textContent;
      byId('code').focus();
    });
    byId('resend').addEventListener('click', () => this.guard('code-problem', byId('resend'), () => this.sendCode()));
  }

  /** Shows the first form, with words about why one has to log in (again). */
  show(why = '') {
    byId('login').hidden = false;
    document.title = t('loginTitle');
    this.turnTo('number-form', 'number');
    byId('number-problem').textContent = why;
  }

  hide() {
    byId('login').hidden = true;
    clearInterval(this.countdown);
    this.tick = null;
    for (const id of FORMS) byId(id).reset();
    byId('shown-code-value').textContent = '';
  }

  /** Says everything in the language of the page; what is typed, and which form is shown, stays. */
  translate() {
    translate(document.documentElement);
    document.title = t('loginTitle');
    for (const problem of document.querySelectorAll('#login .problem')) problem.textContent = '';
    this.translateCodeSent();
    this.tick?.();
  }

  translateCodeSent() {
    // The number keeps its own direction.
    byId('code-sent').textContent = t('codeSentTo', { number: `\u2068${this.number}\u2069` });
  }

  turnTo(form, field) {
    for (const id of FORMS) byId(id).hidden = id !== form;
    for (const problem of document.querySelectorAll('#login .problem')) problem.textContent = '';
    byId(field).focus();
  }

  submit(form, problem, task) {
    byId(form).addEventListener('submit', (event) => {
      event.preventDefault();
      this.guard(problem, byId(form).querySelector('[type=submit]'), task);
    });
  }

  guard(problem, button, task) {
    return busy(button, async () => {
      byId(problem).textContent = '';
      try {
        await task();
      } catch (error) {
        byId(problem).textContent = words(error);
      }
    });
  }

  get number() {
    return byId('number').value.trim();
  }

  async begin() {
    if (!this.number) {
      byId('number').focus();
      byId('number-problem').textContent = t('enterNumber');
      return;
    }
    await this.signUp();
    await this.sendCode();
    this.translateCodeSent();
    this.turnTo('code-form', 'code');
  }

  /** Registers name and password where they were given; the code proves the number afterwards. */
  async signUp() {
    const name = byId('new-name').value.trim();
    const password = byId('new-password').value;
    if (!byId('new-account').open || !(name || password)) return;
    await json('POST', 'auth/signup', {
      anonymous: true, body: { mobileNumber: this.number, ...(name && { name }), ...(password && { password }) },
    });
    byId('new-account').open = false;
  }

  async sendCode() {
    const sent = await json('POST', 'auth/send-otp', { anonymous: true, body: { mobileNumber: this.number } });
    byId('shown-code').hidden = !sent.otp;
    show(byId('shown-code-value'), sent.otp);
    byId('code').value = '';
    this.countDown(sent.resendIn);
  }

  /** Until another code can be sent. */
  countDown(seconds) {
    const button = byId('resend');
    const until = Date.now() + seconds * 1000;
    this.tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      button.disabled = left > 0;
      button.textContent = left > 0 ? t('resendIn', { seconds: left }) : t('resend');
      if (left <= 0) clearInterval(this.countdown);
    };
    clearInterval(this.countdown);
    this.countdown = setInterval(this.tick, 500);
    this.tick();
  }

  async verify() {
    const otp = byId('code').value.trim();
    if (!otp) {
      byId('code').focus();
      byId('code-problem').textContent = t('enterCode');
      return;
    }
    try {
      await this.onLogin(await json('POST', 'auth/verify-otp', { anonymous: true, body: { mobileNumber: this.number, otp } }));
    } catch (error) {
      byId('code').select();
      throw error;
    }
  }

  async logIn() {
    const body = { mobileNumber: byId('password-number').value.trim(), password: byId('password').value };
    if (!body.mobileNumber || !body.password) {
      byId('password-problem').textContent = t('enterBoth');
      return;
    }
    await this.onLogin(await json('POST', 'auth/login', { anonymous: true, body }));
  }
}
