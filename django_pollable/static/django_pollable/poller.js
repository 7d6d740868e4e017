/**
 * `Poller`: follow a feed from a page.
 *
 * @typedef {import('./machine.js').Checkpoint} Checkpoint
 * @typedef {import('./machine.js').Outcome} Outcome
 * @typedef {import('./machine.js').Page} Page
 * @typedef {import('./machine.js').Pace} Pace
 * @typedef {import('./fetching.js').Limits} Limits
 * @typedef {import('./stores.js').Store} Store
 *
 * @typedef {object} Poll One poll; the `detail` of the event `poll`.
 * @property {Outcome['kind']} kind
 * @property {string} reason
 * @property {string} detail
 * @property {number} status Of the answer; 0 where none came.
 * @property {number} size Of the body, decompressed (bytes).
 * @property {number} seconds From the request to the end of the answer.
 * @property {number} wait Until the next poll (seconds).
 * @property {number} items Of the page (rows).
 * @property {number} removed
 * @property {boolean} isRelayed Another tab has polled.
 *
 * @typedef {object} State Where a poller stands; it changes with the events `poll` and `state`.
 * @property {'leader'|'follower'|'none'} role A leader polls, and tells the other tabs of the browser.
 * @property {'hidden'|'offline'|'stopped'|null} paused Why it does not poll.
 * @property {string} reason Why it has stopped.
 * @property {boolean} isSyncing A first sync is under way.
 * @property {number} failures In a row.
 * @property {number} nextAt When it polls again (Unix seconds).
 * @property {Poll|null} last
 *
 * @typedef {(write: (transaction: IDBTransaction) => void) => Promise<void>} Commit
 */
import { LIMITS, answerTo } from './fetching.js';
import { Machine } from './machine.js';
import { MemoryStore } from './stores.js';

export { IndexedStore, LocalStore, MemoryStore, Rows } from './stores.js';

const WAKE_SECONDS = 2; // the widest jitter of tabs and devices that wake together

/**
 * Delivers every change of the feed at `url` at least once, whatever fails in between.
 *
 * Pauses while the page is hidden or offline. Of the tabs that follow one feed for one user, one polls.
 */
export class Poller extends EventTarget {
  /** @type {Readonly<State>} */
  state = Object.freeze({
    role: 'none', paused: 'stopped', reason: '', isSyncing: true, failures: 0, nextAt: 0, last: null,
  });
  #url; #pace; #limits; #onPage; #store; #identity; #headers; #credentials; #isConditional; #isTogether; #pollsHidden;
  #scope; #random; #now;
  #who = ''; #key = ''; #machine = null; #isLoaded = false; #restart = null; #channel = null; #life = null;
  #isLeader = false; #isLevel = false; #dueAt = 0;
  #pauses = new Set(); #sleeper = new AbortController(); #nudge = () => {}; #turn = Promise.resolve();

  /**
   * @param {string} url
   * @param {object} options
   * @param {(page: Page, commit: Commit) => any} options.onPage Once its promise is kept, the page counts as handled. With an
   *   `IndexedStore`, `commit` writes rows and checkpoint in one transaction.
   * @param {Store} [options.store] Keeps the checkpoint; without one it is lost with the page.
   * @param {string|(() => string)} [options.identity] Who asks: what belongs to one is never shown to another. A function
   *   is asked before and after each request; a changed answer stops the poller.
   * @param {Record<string, string>|(() => any)} [options.headers] Further ones, as `Authorization`.
   * @param {RequestCredentials} [options.credentials]
   * @param {'own'|'browser'} [options.validator] Who keeps the tags: the browser across origins, for its own need no preflight.
   * @param {Partial<Pace>} [options.pace]
   * @param {Partial<Limits>} [options.limits]
   * @param {boolean} [options.isTogether] Tabs share one poller.
   * @param {boolean} [options.pollsHidden] A hidden page polls.
   * @param {any} [options.scope] Where `fetch`, `document` and `navigator` are.
   * @param {() => number} [options.random] From 0 up to 1. @param {() => number} [options.now] Unix seconds.
   */
  constructor(url, {
    onPage, store = new MemoryStore(), identity = '', headers = {}, credentials = 'same-origin', validator, pace = {},
    limits = {}, isTogether = true, pollsHidden = false, scope = globalThis, random = Math.random,
    now = () => Date.now() / 1000,
  }) {
    super();
    const { href, origin } = new URL(url, scope.location?.href);
    const whose = validator ?? (origin === scope.location?.origin ? 'own' : 'browser');
    this.#url = href;
    this.#pace = pace;
    this.#limits = { ...LIMITS, ...limits };
    this.#onPage = onPage;
    this.#store = store;
    this.#identity = typeof identity === 'function' ? identity : () => identity;
    this.#headers = typeof headers === 'function' ? headers : () => headers;
    this.#credentials = credentials;
    this.#isConditional = whose === 'own';
    this.#isTogether = isTogether && Boolean(scope.navigator?.locks && scope.BroadcastChannel);
    this.#pollsHidden = pollsHidden;
    this.#scope = scope;
    this.#random = random;
    this.#now = now;
    this.#begin();
  }

  /** Poll until `stop()`, or until the server says that asking again is no use. */
  start() {
    if (this.#life) return this;
    if (this.#identity() !== this.#who) this.#begin();
    this.#pauses.delete('stopped');
    this.#listen(true);
    this.#life = this.#live();
    return this;
  }

  /** End polling. @returns {Promise<void>} Kept once no handler runs any more. */
  async stop(reason = '') {
    this.#pause('stopped', true, { reason });
    await this.#life;
  }

  /** Stop, and forget the checkpoint, and the rows that an `IndexedStore` holds with it. */
  async forget() {
    await this.stop();
    await this.#store.remove(this.#key);
    this.#begin();
  }

  /** Poll soon, but not before the server allows it. */
  wake() {
    const isUnanswered = this.state.last?.kind === 'backoff' && this.state.last.status === 0;
    const soon = this.#now() + this.#random() * Math.min(this.#machine.pace.interval, WAKE_SECONDS);
    this.#dueAt = isUnanswered ? soon : Math.max(this.#dueAt, soon);
    this.#isLevel = false;
    this.#tell({ nextAt: this.#dueAt });
    this.#nudge();
  }

  #begin() {
    this.#who = this.#identity();
    this.#machine = Machine.of(this.#url, this.#pace, { isConditional: this.#isConditional });
    this.#key = `${this.#machine.feed} ${this.#who}`.trim();
    this.#isLoaded = false;
    this.#restart = null;
    this.#dueAt = 0;
  }

  async #live() {
    this.#channel = this.#isTogether ? new this.#scope.BroadcastChannel(`pollable ${this.#key}`) : null;
    if (this.#channel) this.#channel.onmessage = ({ data }) => this.#inTurn(() => this.#hear(data));
    if (!this.#isLoaded) this.#machine = this.#machine.at(await this.#load());
    this.#isLoaded = true;
    this.#tell({ paused: this.#reason(), reason: '' });
    while (!this.#pauses.has('stopped')) {
      if (this.#pauses.size) await this.#rest(Infinity);
      else await this.#watch((this.#sleeper = new AbortController()).signal);
    }
    this.#channel?.close();
    this.#listen(false);
    this.#life = null;
  }

  /** Poll, or follow the tab that does, until the page goes to sleep. */
  async #watch(signal) {
    let end;
    const ended = new Promise((resolve) => (end = resolve));
    this.#isLevel = false;
    try {
      if (this.#isAnother()) return this.#leave();
      await this.#elect(signal, ended);
      while (!signal.aborted) {
        const isFollowing = this.#isFollowing();
        const wait = this.#dueAt - this.#now() + (isFollowing ? this.#patience : 0);
        if (wait > 0) await this.#rest(wait);
        else if (isFollowing) this.#isLevel = false;
        else await this.#inTurn(() => this.#step(signal));
      }
    } finally {
      this.#isLeader = false;
      end();
      this.#tell({ role: 'none' });
    }
  }

  #isFollowing() {
    return !this.#isLeader && this.#isLevel;
  }

  /** How long a leader may be late before a follower looks for itself (seconds). */
  get #patience() {
    return this.#limits.total + this.#machine.pace.interval;
  }

  async #elect(signal, ended) {
    if (!this.#isTogether) {
      await this.#lead(signal);
      return;
    }
    const { locks } = this.#scope.navigator;
    const name = `pollable ${this.#key}`;
    await new Promise((resolve) => {
      const decide = async (lock) => {
        if (lock) await this.#lead(signal);
        resolve();
        if (lock) await ended;
      };
      // A sandboxed frame may ask for no lock: it polls for itself.
      locks.request(name, { ifAvailable: true }, decide).catch(() => this.#lead(signal).then(resolve));
    });
    if (this.#isLeader || signal.aborted) return;
    this.#tell({ role: 'follower' });
    const lead = () => this.#lead(signal).then(() => ended);
    locks.request(name, { signal }, lead).catch(() => {}); // aborted: the page sleeps
  }

  async #lead(signal) {
    const stored = this.#store.isShared ? await this.#load() : null;
    if (signal.aborted) return;
    // What another tab has stored is where the shared rows are; this page's own view may be elsewhere, and ends first.
    const isElsewhere = stored !== null && stored.cursor !== this.#machine.checkpoint.cursor;
    this.#restart = isElsewhere ? stored : null;
    this.#isLeader = true;
    this.#tell({ role: 'leader' });
    this.#nudge();
  }

  async #step(signal) {
    if (signal.aborted || this.#isFollowing()) return;
    const machine = this.#machine;
    const since = machine.checkpoint.cursor;
    const began = this.#now();
    const answer = this.#isAnother() ? null : await this.#ask(machine.request, signal);
    if (signal.aborted) return;
    if (answer === null || this.#isAnother()) return this.#leave();
    const told = { now: this.#now(), draw: this.#random() };
    let outcome = machine.receive(answer, told);
    try {
      await this.#take(outcome);
    } catch (error) {
      outcome = machine.receive({ fault: 'handler', detail: String(error) }, told);
      this.#machine = outcome.next;
    }
    const { kind, reason, detail, wait, page } = outcome;
    const { status = 0, size = 0 } = answer;
    const rows = { items: page?.items.length ?? 0, removed: page?.removed.length ?? 0 };
    const poll = { kind, reason, detail, status, size, seconds: told.now - began, wait, ...rows, isRelayed: false };
    this.#isLevel = kind === 'idle' || (page !== null && !page.hasMore);
    this.#report(poll);
    if (this.#isLeader) this.#channel?.postMessage({ since, page, checkpoint: this.#machine.checkpoint, poll });
    if (kind === 'stop') this.#pause('stopped', true, { reason });
    if (this.#isLeader && this.#isLevel && this.#restart) {
      this.#machine = this.#machine.at(this.#restart);
      this.#restart = null;
      this.#dueAt = 0;
    }
  }

  /** Handle a page, store the place after it, and only then move on. */
  async #take({ kind, reason, page, next }) {
    const saves = !this.#store.isShared || (this.#isLeader && !this.#restart);
    const { checkpoint } = next;
    let isCommitted = false;
    const commit = async (write) => {
      if (saves) await this.#store.commit(this.#key, checkpoint, write);
      isCommitted = true;
    };
    if (page) await this.#onPage(page, commit);
    if (saves && !isCommitted && (page || kind === 'resync' || reason === 'empty')) await this.#store.save(this.#key, checkpoint);
    this.#machine = next;
  }

  /** Take in what the leader tells, if it continues what this page has; else look for oneself. */
  async #hear({ since, page, checkpoint, poll }) {
    if (this.#isLeader || this.#pauses.has('stopped')) return;
    if (this.#isAnother()) return this.#leave();
    const mine = this.#machine.checkpoint.cursor;
    if (mine !== since && !page?.isReset) {
      if (page && mine !== checkpoint.cursor) this.wake();
      return;
    }
    try {
      await this.#take({ kind: poll.kind, reason: poll.reason, page, next: this.#machine.at(checkpoint) });
    } catch {
      this.wake();
      return;
    }
    this.#isLevel ||= poll.kind === 'idle' || Boolean(page && !page.hasMore);
    this.#report({ ...poll, isRelayed: true });
  }

  async #ask({ url, etag }, signal) {
    const headers = { Accept: 'application/json', ...(await this.#headers()), ...(etag && { 'If-None-Match': etag }) };
    // With tags of its own nothing of a user's is left in a cache, where the next one's answer could come from.
    const cache = this.#isConditional ? 'no-store' : 'default';
    const options = { headers, credentials: this.#credentials, cache };
    return answerTo(this.#scope.fetch.bind(this.#scope), url, options, this.#limits, signal);
  }

  #isAnother() {
    return this.#identity() !== this.#who;
  }

  #leave() {
    this.#pause('stopped', true, { reason: 'identity-changed' });
  }

  /** One after the other: answers, and what the leader tells. */
  #inTurn(work) {
    return (this.#turn = this.#turn.then(work));
  }

  /** Wait, until `#nudge` at the latest. */
  #rest(seconds) {
    return new Promise((resolve) => {
      const timer = Number.isFinite(seconds) ? setTimeout(resolve, seconds * 1000) : null;
      this.#nudge = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** A store that cannot be read is an empty one: a first sync loses nothing. */
  #load() {
    return this.#store.load(this.#key).catch(() => null);
  }

  #report(poll) {
    const { checkpoint, failures } = this.#machine;
    this.#dueAt = this.#now() + poll.wait;
    const isSyncing = checkpoint.cursor === null || checkpoint.isResetting;
    this.state = Object.freeze({ ...this.state, isSyncing, failures, nextAt: this.#dueAt, last: poll });
    this.dispatchEvent(new CustomEvent('poll', { detail: poll }));
  }

  #tell(changes) {
    this.state = Object.freeze({ ...this.state, ...changes });
    this.dispatchEvent(new CustomEvent('state', { detail: this.state }));
  }

  #pause(reason, isOn, told = {}) {
    if (this.#pauses.has(reason) === isOn) return;
    if (isOn) this.#pauses.add(reason);
    else this.#pauses.delete(reason);
    this.#tell({ paused: this.#reason(), ...told });
    if (isOn) this.#sleeper.abort();
    if (this.#pauses.size) this.#nudge();
    else this.wake();
  }

  #reason() {
    return ['stopped', 'offline', 'hidden'].find((reason) => this.#pauses.has(reason)) ?? null;
  }

  #look = (event) => {
    const { document, navigator } = this.#scope;
    const isHidden = event?.type === 'pagehide' || document?.visibilityState === 'hidden';
    this.#pause('hidden', isHidden && !this.#pollsHidden);
    this.#pause('offline', navigator?.onLine === false);
  };

  #listen(isOn) {
    const { document } = this.#scope;
    const change = isOn ? 'addEventListener' : 'removeEventListener';
    for (const name of ['online', 'offline', 'pagehide', 'pageshow']) this.#scope[change]?.(name, this.#look);
    document?.[change]('visibilitychange', this.#look);
    if (isOn) this.#look();
  }
}
