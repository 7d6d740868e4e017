/**
 * What a client does, without doing it: what to ask, what an answer means, how long to wait.
 *
 * Nothing here reads a clock, draws a number or opens a connection. A machine never changes: an
 * outcome has the next one, which a client takes up once the page has been handled.
 *
 * @typedef {import('./waits.js').Pace} Pace
 *
 * @typedef {object} Checkpoint What a client keeps: a cursor, and the tag that belongs to it and to no other.
 * @property {string|null} cursor
 * @property {string|null} etag
 * @property {boolean} isResetting A first sync has begun and not ended.
 * @property {number} unchanged 304s since the last 200.
 *
 * @typedef {object} Page Changes, in order.
 * @property {any[]} items The newest state of what has changed.
 * @property {string[]} removed The keys of what is gone.
 * @property {string} nextSince
 * @property {boolean} hasMore Another page follows at once.
 * @property {boolean} isReset A first sync begins: mark from here on what is seen.
 * @property {boolean} endsReset It is complete: drop, after this page, what was not marked.
 *
 * @typedef {object} Answer Read to its end; a fault is no answer.
 * @property {number} status
 * @property {Record<string, string>} headers Names in lower case.
 * @property {string} body
 *
 * @typedef {{fault: string, detail?: string}} Fault Why no answer came: `network`, `timeout`, `too-large`, ...
 *
 * @typedef {object} Outcome What an answer means.
 * @property {'page'|'idle'|'backoff'|'resync'|'stop'} kind
 * @property {string} reason A short code.
 * @property {number} wait Until the next request (seconds).
 * @property {Machine} next
 * @property {Page|null} page
 * @property {string} detail A sentence for people.
 */
import { TRANSIENT, backoffWait, checkedPace, freshness, idleWait, retryAfter, serverInterval } from './waits.js';

/** @type {Checkpoint} */
export const NOTHING = Object.freeze({ cursor: null, etag: null, isResetting: false, unchanged: 0 });

const EXPIRY_MEMORY_SECONDS = 600; // another 410 within it waits longer
const CURSOR = /^[ -~]{1,8192}$/;
const ETAG = /^(W\/)?"[\x21\x23-\x7e]{0,512}"$/;

/** A client of one feed between two polls; only `checkpoint` outlives the page. */
export class Machine {
  /**
   * @param {string} url Absolute; its `since`, if any, is where a client without a checkpoint begins.
   * @param {Partial<Pace>} [pace]
   * @param {{isConditional?: boolean, checkpoint?: Checkpoint|null}} [options] `isConditional`: the machine keeps the
   *   validators; else the browser does, where a header of one's own would need a preflight.
   * @throws {TypeError} `url` is no URL of http or https. @throws {RangeError} `pace` makes no sense.
   */
  static of(url, pace = {}, { isConditional = true, checkpoint = null } = {}) {
    const whole = checkedPace(pace);
    const [feed, start] = feedOf(url);
    const begin = checkpoint ?? { ...NOTHING, cursor: start };
    return new Machine({
      feed, start, isConditional, pace: whole, checkpoint: begin,
      failures: 0, quiet: 0, minimum: 0, expiries: 0, expiredAt: 0, drained: [],
    });
  }

  constructor(state) {
    Object.freeze(Object.assign(this, state));
  }

  /** The same client at another checkpoint, or where its URL says. */
  at(checkpoint) {
    return this.#with({ checkpoint: checkpoint ?? { ...NOTHING, cursor: this.start }, drained: [] });
  }

  /** What to ask: now and then without the tag, so that a cache's stuck 304 ends. */
  get request() {
    const { cursor, etag, unchanged } = this.checkpoint;
    const isBelieved = this.isConditional && unchanged < this.pace.revalidateEvery;
    return { url: urlAt(this.feed, cursor), etag: isBelieved ? etag : null };
  }

  /**
   * @param {Answer|Fault} answer
   * @param {{now: number, draw: number}} told `now` in Unix seconds, `draw` a number from 0 up to 1.
   * @returns {Outcome}
   */
  receive(answer, { now, draw }) {
    if ('fault' in answer) return this.#backOff(answer.fault, draw, 0, answer.detail);
    const { status, headers } = answer;
    if (status === 200) return this.#page(answer, draw);
    if (status === 304) return this.#unchanged(answer, draw);
    const detail = problemMember(answer, 'detail');
    if (status === 410) return this.#expired(answer, now, draw, detail);
    const reason = `status-${status}`;
    if (status >= 400 && status < 500 && !TRANSIENT.includes(status)) return outcome('stop', reason, 0, this, { detail });
    return this.#backOff(reason, draw, retryAfter(headers, now), detail);
  }

  #page(answer, draw) {
    const page = parsePage(answer.body);
    if (page === null) return this.#backOff('invalid-page', draw, 0, 'The body is not a page.');
    const kept = this.checkpoint;
    const left = [...this.drained, kept.cursor];
    const isEmpty = page.items.length + page.removed.length === 0;
    const isStill = page.nextSince === kept.cursor && isEmpty && !page.hasMore;
    if (left.includes(page.nextSince) && !isStill) {
      return this.#backOff('no-progress', draw, 0, 'The page does not lead on.');
    }
    page.isReset ||= kept.cursor === null;
    const isResetting = page.isReset || kept.isResetting;
    page.endsReset = isResetting && !page.hasMore;
    const etag = answer.headers.etag ?? '';
    const checkpoint = {
      cursor: page.nextSince,
      etag: !page.hasMore && ETAG.test(etag) ? etag : null,
      isResetting: isResetting && page.hasMore,
      unchanged: 0,
    };
    const next = this.#succeed(answer, checkpoint, isEmpty ? this.quiet + 1 : 0);
    if (page.hasMore && left.length < this.pace.drainLimit) {
      return outcome('page', 'more', 0, next.#with({ drained: left }), { page });
    }
    const wait = next.#idle(answer, draw);
    if (isEmpty && !page.hasMore && !isResetting) return outcome('idle', 'empty', wait, next);
    return outcome('page', page.hasMore ? 'more' : 'last', wait, next, { page });
  }

  #unchanged(answer, draw) {
    if (this.request.etag === null) {
      return this.#backOff('unasked-304', draw, 0, 'A 304 came to a request without a tag.');
    }
    const checkpoint = { ...this.checkpoint, unchanged: this.checkpoint.unchanged + 1 };
    const next = this.#succeed(answer, checkpoint, this.quiet + 1);
    return outcome('idle', 'not-modified', next.#idle(answer, draw), next);
  }

  #succeed({ headers }, checkpoint, quiet) {
    const minimum = serverInterval(headers) ?? this.minimum;
    return this.#with({ checkpoint, failures: 0, quiet, minimum, drained: [] });
  }

  #idle({ headers }, draw) {
    return idleWait(this.pace, Math.max(this.quiet - 1, 0), Math.max(this.minimum, freshness(headers)), draw);
  }

  #expired(answer, now, draw, detail) {
    const age = now - this.expiredAt;
    const expiries = age >= 0 && age < EXPIRY_MEMORY_SECONDS ? this.expiries + 1 : 1;
    const next = this.#with({ checkpoint: NOTHING, quiet: 0, drained: [], expiries, expiredAt: now });
    const wait = this.#backoffWait(Math.max(expiries, this.failures + 1), draw, retryAfter(answer.headers, now));
    return outcome('resync', problemMember(answer, 'reason') || 'status-410', wait, next, { detail });
  }

  #backOff(reason, draw, asked, detail = '') {
    const failures = this.failures + 1;
    return outcome('backoff', reason, this.#backoffWait(failures, draw, asked), this.#with({ failures }), { detail });
  }

  #backoffWait(failures, draw, asked) {
    return backoffWait(this.pace, failures, this.minimum, asked, draw);
  }

  #with(changes) {
    return new Machine({ ...this, ...changes });
  }
}

function outcome(kind, reason, wait, next, { page = null, detail = '' } = {}) {
  return { kind, reason, wait, next, page, detail };
}

/** Return the URL without `since`, its parameters in the server's order so that clients share cache entries, and `since`. */
function feedOf(url) {
  const parsed = new URL(url);
  if (!/^https?:$/.test(parsed.protocol)) throw new TypeError('The URL of a feed begins with http:// or https://.');
  const start = parsed.searchParams.getAll('since').at(-1) ?? null;
  parsed.searchParams.delete('since');
  parsed.hash = '';
  return [withQuery(parsed, [...parsed.searchParams]), start];
}

function urlAt(feed, cursor) {
  const url = new URL(feed);
  return cursor === null ? feed : withQuery(url, [...url.searchParams, ['since', cursor]]);
}

function withQuery(url, pairs) {
  const ordered = pairs.sort(([a, b], [c, d]) => (a === c ? compare(b, d) : compare(a, c)));
  url.search = ordered.map((pair) => pair.map(quote).join('=')).join('&');
  return url.href;
}

function compare(one, other) {
  return one < other ? -1 : Number(one > other);
}

function quote(text) {
  const encoded = encodeURIComponent(text.toWellFormed?.() ?? text);
  return encoded.replace(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`).replace(/%20/g, '+');
}

function parseObject(body) {
  try {
    const data = JSON.parse(body);
    return typeof data === 'object' && data !== null ? data : {};
  } catch {
    return {};
  }
}

function parsePage(body) {
  const { items, removed, next_since: nextSince, has_more: hasMore, reset } = parseObject(body);
  const isWellTyped =
    Array.isArray(items) && Array.isArray(removed) && removed.every((key) => typeof key === 'string') &&
    typeof nextSince === 'string' && CURSOR.test(nextSince) && typeof hasMore === 'boolean' && typeof reset === 'boolean';
  return isWellTyped ? { items, removed, nextSince, hasMore, isReset: reset, endsReset: false } : null;
}

/** Return a text of the answer's problem details (RFC 9457), or an empty one. */
export function problemMember({ body }, name) {
  const value = parseObject(body)[name];
  return typeof value === 'string' ? value.slice(0, 300).replace(/\p{C}/gu, ' ') : '';
}
