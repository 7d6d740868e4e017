/**
 * How long to wait: each wait has its jitter added after every limit, for a limit that comes last makes a herd.
 *
 * @typedef {object} Pace How a client polls.
 * @property {number} interval Between polls that bring nothing (seconds); the server's own is a minimum.
 * @property {number} maxInterval What `interval` grows to on a quiet feed (seconds); not above it, no growth.
 * @property {number} backoffCap The widest jitter after failures (seconds).
 * @property {number} drainLimit Pages that are asked for without a wait between them.
 * @property {number} revalidateEvery So many 304s in a row, then a request without a tag.
 */

/** @type {Pace} */
const PACE = { interval: 5, maxInterval: 0, backoffCap: 60, drainLimit: 100, revalidateEvery: 50 };
/** Statuses of the client's own errors that another try can mend. */
export const TRANSIENT = [408, 425, 429];

const LONGEST_SECONDS = 3600; // what a server can ask for at the most
const LARGEST_EXPONENT = 32;
const SECONDS = /^[0-9]{1,20}$/;
const INTERVAL = /^[0-9]{1,20}(\.[0-9]{1,20})?$/;
const MAX_AGE = /(?:^|[,\s])max-age=([0-9]{1,20})(?:$|[,\s])/i;
const HTTP_DATE = /^[A-Z][a-z]+, (\d\d)[ -]([A-Z][a-z]{2})[ -](\d\d|\d{4}) (\d\d:\d\d:\d\d) GMT$/;
const ASCTIME_DATE = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d\d:\d\d:\d\d) (\d{4})$/;

/** Return `pace` with the defaults. @throws {RangeError} It makes no sense. */
export function checkedPace(pace) {
  const whole = { ...PACE, ...pace };
  if (!(whole.interval > 0 && whole.interval <= LONGEST_SECONDS && whole.backoffCap > 0)) {
    throw new RangeError('`interval` and `backoffCap` are seconds above 0.');
  }
  if (!(whole.drainLimit >= 1 && whole.revalidateEvery >= 1)) {
    throw new RangeError('`drainLimit` and `revalidateEvery` are at least 1.');
  }
  return Object.freeze(whole);
}

/** The wait after `quiet` polls that brought nothing (seconds): within 20 %, never below `minimum`. */
export function idleWait({ interval, maxInterval }, quiet, minimum, draw) {
  const grown = interval * 1.5 ** Math.min(quiet, LARGEST_EXPONENT);
  const wanted = Math.min(grown, Math.max(interval, maxInterval));
  const lowest = Math.max(0.8 * wanted, minimum);
  return lowest + draw * (1.2 * Math.max(wanted, minimum) - lowest);
}

/**
 * The wait after so many failures in a row (seconds): what `Retry-After` asked, then full jitter.
 *
 * The window is never narrower than the interval: what is narrower gathers the clients.
 */
export function backoffWait(pace, failures, minimum, asked, draw) {
  const interval = Math.max(pace.interval, minimum);
  const window = Math.min(interval * 2 ** Math.min(failures - 1, LARGEST_EXPONENT), pace.backoffCap);
  return asked + draw * Math.max(window, interval, asked / 2);
}

/** What `Retry-After` asks for (seconds). A date counts from the answer's own `Date`, for the client's clock can be wrong (RFC 9110 Section 10.2.3). */
export function retryAfter(headers, now) {
  const value = (headers['retry-after'] ?? '').trim();
  if (SECONDS.test(value)) return Math.min(Number(value), LONGEST_SECONDS);
  const then = httpDate(value);
  if (then === null) return 0;
  return Math.min(Math.max(then - (httpDate((headers.date ?? '').trim()) ?? now), 0), LONGEST_SECONDS);
}

/** What `X-Poll-Interval` asks for (seconds), or null. */
export function serverInterval(headers) {
  const value = (headers['x-poll-interval'] ?? '').trim();
  return INTERVAL.test(value) ? Math.min(Number(value), LONGEST_SECONDS) : null;
}

/** How long a cache may still give this answer (seconds): asking sooner brings nothing (RFC 9111 Section 4.2). */
export function freshness(headers) {
  const [, maxAge] = (headers['cache-control'] ?? '').match(MAX_AGE) ?? [];
  const age = (headers.age ?? '').trim();
  const left = Number(maxAge ?? 0) - (SECONDS.test(age) ? Number(age) : 0);
  return Math.min(Math.max(left, 0), LONGEST_SECONDS);
}

/** Return the Unix time of a date in any of its three forms (RFC 9110 Section 5.6.7), or null. */
function httpDate(value) {
  let [, day, month, year, time] = HTTP_DATE.exec(value) ?? [];
  if (!day) [, month, day, time, year] = ASCTIME_DATE.exec(value) ?? [];
  if (!day) return null;
  if (year.length === 2) year = (year < '69' ? '20' : '19') + year;
  const milliseconds = Date.parse(`${day.trim()} ${month} ${year} ${time} GMT`);
  return Number.isNaN(milliseconds) ? null : milliseconds / 1000;
}
