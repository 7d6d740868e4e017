/**
 * `tail()`: the text of a log as it grows.
 *
 * @typedef {import('./machine.js').Fault} Fault
 * @typedef {import('./waits.js').Pace} Pace
 * @typedef {import('./fetching.js').Limits} Limits
 *
 * @typedef {object} Place How much of a log a client has: whole characters only.
 * @property {number} offset Bytes.
 * @property {string|null} etag The strong tag that came with the last of them.
 * @property {boolean} isEnd There was no more.
 *
 * @typedef {object} Piece Text that a log has got.
 * @property {string} text
 * @property {Place} place After it.
 * @property {boolean} isRestart The log has begun anew: everything before this piece is void.
 *
 * @typedef {object} TailOutcome What an answer means.
 * @property {'text'|'idle'|'backoff'|'restart'|'stop'} kind
 * @property {string} reason A short code.
 * @property {number} wait Until the next request (seconds).
 * @property {TailMachine} next
 * @property {Piece|null} piece
 * @property {string} detail A sentence for people.
 */
import { LIMITS, answerTo } from './fetching.js';
import { problemMember } from './machine.js';
import { TRANSIENT, backoffWait, checkedPace, freshness, idleWait, retryAfter, serverInterval } from './waits.js';

/** @type {Place} */
export const BEGIN = Object.freeze({ offset: 0, etag: null, isEnd: false });

const CHUNK = 1 << 20; // what is asked for at once (bytes)
const WAKE_SECONDS = 2; // the widest jitter of tabs and devices that wake together
const STRONG_TAG = /^"[\x21\x23-\x7e]{0,512}"$/;
const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/;
const SIZE = /^bytes \*\/(\d{1,15})$/;

/** The server's answer says that asking again is no use: 401, 403, 404 and the like. */
export class TailStopped extends Error {
  /** @param {TailOutcome} outcome */
  constructor(outcome) {
    super(`The log cannot be followed: ${outcome.reason}. ${outcome.detail}`.trim());
    this.outcome = outcome;
  }
}

/**
 * Give what the log at `url` has, and what it gets, until `signal` is aborted; no character is ever cut.
 *
 * Asks nothing while the page is hidden or offline. The log should be of the page's own origin.
 *
 * @param {string} url
 * @param {object} [options]
 * @param {AbortSignal} [options.signal]
 * @param {Place} [options.place] Go on here; the one of the last piece that has been handled.
 * @param {number|null} [options.last] Begin so many bytes before the end.
 * @param {Record<string, string>} [options.headers] Further ones, as `Authorization`.
 * @param {RequestCredentials} [options.credentials]
 * @param {Partial<Pace>} [options.pace]
 * @param {Partial<Limits>} [options.limits]
 * @param {boolean} [options.pollsHidden] A hidden page asks, too.
 * @param {(outcome: TailOutcome) => void} [options.onOutcome] Is called after each request.
 * @param {any} [options.scope] Where `fetch`, `document` and `navigator` are.
 * @param {() => number} [options.random] From 0 up to 1. @param {() => number} [options.now] Unix seconds.
 * @returns {AsyncGenerator<Piece, void>}
 * @throws {TailStopped}
 */
export async function* tail(url, {
  signal = new AbortController().signal, place = BEGIN, last = null, headers = {}, credentials = 'same-origin', pace = {},
  limits = {}, pollsHidden = false, onOutcome = () => {}, scope = globalThis, random = Math.random,
  now = () => Date.now() / 1000,
} = {}) {
  const whole = { ...LIMITS, ...limits };
  const chunk = Math.min(CHUNK, whole.maxBody);
  let machine = TailMachine.of(new URL(url, scope.location?.href).href, { pace, place, last, chunk });
  while (!signal.aborted) {
    if (await awake(scope, pollsHidden, signal)) await rest(random() * Math.min(machine.pace.interval, WAKE_SECONDS), signal);
    if (signal.aborted) return;
    const options = { headers: { ...headers, ...machine.headers }, credentials, cache: 'no-store' };
    const answer = await answerTo(scope.fetch.bind(scope), machine.url, options, whole, signal);
    if (signal.aborted) return;
    const outcome = machine.receive(answer, { now: now(), draw: random() });
    machine = outcome.next;
    onOutcome(outcome);
    if (outcome.kind === 'stop') throw new TailStopped(outcome);
    if (outcome.piece) yield outcome.piece;
    await rest(outcome.wait, signal);
  }
}

/** A client of one log between two requests; only `place` outlives the page. It decides as the Python client's does. */
export class TailMachine {
  /** @throws {TypeError} `url` is no URL of http or https. @throws {RangeError} An option makes no sense. */
  static of(url, { pace = {}, place = BEGIN, last = null, chunk = CHUNK } = {}) {
    if (!/^https?:$/.test(new URL(url).protocol)) throw new TypeError('The URL of a log begins with http:// or https://.');
    if (!(chunk >= 4 && (last === null || last >= 1))) {
      throw new RangeError('`chunk` has room for a character (4 bytes), and `last` is at least 1.');
    }
    const state = { failures: 0, quiet: 0, minimum: 0, drained: 0, isRestarting: false };
    return new TailMachine({ url, pace: checkedPace(pace), place, last, chunk, ...state });
  }

  constructor(state) {
    Object.freeze(Object.assign(this, state));
  }

  /** What to ask: no more than `chunk`, and only if the log still begins with what is there. */
  get headers() {
    const { offset, etag, isEnd } = this.place;
    if (this.#isSuffix) return { Range: `bytes=-${this.last}` };
    const fields = { Range: `bytes=${offset}-${offset + this.chunk - 1}` };
    if (etag !== null) fields['If-Range'] = etag;
    if (etag !== null && isEnd) fields['If-None-Match'] = etag;
    return fields;
  }

  /**
   * @param {{status: number, headers: Record<string, string>, body: string, bytes: Uint8Array}|Fault} answer
   * @param {{now: number, draw: number}} told `now` in Unix seconds, `draw` a number from 0 up to 1.
   * @returns {TailOutcome}
   */
  receive(answer, { now, draw }) {
    if ('fault' in answer) {
      const isAnother = answer.fault === 'too-large' && this.place.offset > 0; // everything came
      return isAnother ? this.#restart(answer.fault) : this.#backOff(answer.fault, draw, 0, answer.detail);
    }
    const { status, headers } = answer;
    if (status === 206) return this.#part(answer, draw);
    if (status === 200) return this.#everything(answer, draw);
    if (status === 304) return this.#unchanged(answer, draw);
    if (status === 416) return this.#notThere(answer, draw);
    const detail = problemMember(answer, 'detail');
    const reason = `status-${status}`;
    if (status >= 400 && status < 500 && !TRANSIENT.includes(status)) return outcome('stop', reason, 0, this, { detail });
    return this.#backOff(reason, draw, retryAfter(headers, now), detail);
  }

  get #isSuffix() {
    const { offset, etag, isEnd } = this.place;
    return this.last !== null && offset === 0 && etag === null && !isEnd && !this.isRestarting;
  }

  #part(answer, draw) {
    const { headers, bytes } = answer;
    const [first, end, size] = numbers(CONTENT_RANGE, headers) ?? [-1, -1, -1];
    const isAsked = first === this.place.offset || (this.#isSuffix && first >= 0);
    if (!isAsked || end - first + 1 !== bytes.length || end >= size) {
      return this.#backOff('invalid-range', draw, 0, 'The answer is not the range that was asked for.');
    }
    const cut = this.#isSuffix && first > 0 ? begunBytes(bytes) : 0;
    return this.#text(answer, first + cut, bytes.subarray(cut), draw, end + 1 === size);
  }

  #everything(answer, draw) {
    const following = this.#with({ isRestarting: this.isRestarting || this.place.offset > 0 });
    return following.#text(answer, 0, answer.bytes, draw, true);
  }

  #text(answer, offset, bytes, draw, isEnd) {
    const whole = wholeBytes(bytes);
    const etag = answer.headers.etag ?? '';
    const place = { offset: offset + whole, etag: STRONG_TAG.test(etag) ? etag : null, isEnd };
    if (whole === 0 && !this.isRestarting) return this.#idle('empty', answer, draw, place);
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(0, whole));
    const piece = { text, place, isRestart: this.isRestarting };
    const next = this.#succeed(answer, place, 0).#with({ isRestarting: false });
    if (!isEnd && this.drained + 1 < this.pace.drainLimit) {
      return outcome('text', 'more', 0, next.#with({ drained: this.drained + 1 }), { piece });
    }
    return outcome('text', isEnd ? 'end' : 'more', next.#wait(answer, draw), next, { piece });
  }

  #unchanged(answer, draw) {
    if (!('If-None-Match' in this.headers)) {
      return this.#backOff('unasked-304', draw, 0, 'A 304 came to a request without a tag.');
    }
    return this.#idle('not-modified', answer, draw, this.place);
  }

  #notThere(answer, draw) {
    const [size] = numbers(SIZE, answer.headers) ?? [-1];
    if (size === this.place.offset) return this.#idle('not-grown', answer, draw, { ...this.place, isEnd: true });
    if (size >= 0 && size < this.place.offset) return this.#restart('shrunk');
    return this.#backOff('invalid-range', draw, 0, 'What is not there has not been asked for.');
  }

  #restart(reason) {
    return outcome('restart', reason, 0, this.#with({ place: BEGIN, isRestarting: true }));
  }

  #idle(reason, answer, draw, place) {
    const next = this.#succeed(answer, place, this.quiet + 1);
    return outcome('idle', reason, next.#wait(answer, draw), next);
  }

  #succeed({ headers }, place, quiet) {
    return this.#with({ place, failures: 0, quiet, minimum: serverInterval(headers) ?? this.minimum, drained: 0 });
  }

  #wait({ headers }, draw) {
    return idleWait(this.pace, Math.max(this.quiet - 1, 0), Math.max(this.minimum, freshness(headers)), draw);
  }

  #backOff(reason, draw, asked, detail = '') {
    const failures = this.failures + 1;
    const wait = backoffWait(this.pace, failures, this.minimum, asked, draw);
    return outcome('backoff', reason, wait, this.#with({ failures }), { detail });
  }

  #with(changes) {
    return new TailMachine({ ...this, ...changes });
  }
}

function outcome(kind, reason, wait, next, { piece = null, detail = '' } = {}) {
  return { kind, reason, wait, next, piece, detail };
}

function numbers(pattern, headers) {
  return pattern.exec(headers['content-range'] ?? '')?.slice(1).map(Number);
}

/** How many bytes come before a character of UTF-8 that is cut off at the end. */
function wholeBytes(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back];
    const length = 2 + Number(byte >= 0xe0) + Number(byte >= 0xf0);
    if (byte >= 0xc0) return back < length ? bytes.length - back : bytes.length;
    if (byte < 0x80) break;
  }
  return bytes.length;
}

/** How many bytes at the begin belong to a character that has begun before it. */
function begunBytes(bytes) {
  const place = bytes.subarray(0, 3).findIndex((byte) => byte < 0x80 || byte >= 0xc0);
  return place < 0 ? Math.min(3, bytes.length) : place;
}

/** Wait until the page is visible and online. @returns {Promise<boolean>} Whether it has not been. */
async function awake(scope, pollsHidden, signal) {
  const { document, navigator } = scope;
  const sleeps = () => (document?.visibilityState === 'hidden' && !pollsHidden) || navigator?.onLine === false;
  if (!sleeps()) return false;
  await new Promise((resolve) => {
    const end = new AbortController();
    const look = () => {
      if (sleeps() && !signal.aborted) return;
      end.abort();
      resolve();
    };
    document?.addEventListener('visibilitychange', look, { signal: end.signal });
    scope.addEventListener?.('online', look, { signal: end.signal });
    signal.addEventListener('abort', look, { signal: end.signal });
  });
  return true;
}

function rest(seconds, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, seconds * 1000);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}
