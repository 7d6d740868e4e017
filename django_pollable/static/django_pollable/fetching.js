/**
 * From a request to an answer or a fault, within a time and a size.
 *
 * @typedef {import('./machine.js').Answer} Answer
 * @typedef {import('./machine.js').Fault} Fault
 *
 * @typedef {object} Limits What a request may take.
 * @property {number} first Until the answer begins (seconds); a browser does not tell connecting from waiting.
 * @property {number} total Until it ends (seconds).
 * @property {number} maxBody Of an answer, decompressed (bytes).
 */

/** @type {Limits} */
export const LIMITS = { first: 7, total: 15, maxBody: 32 << 20 };

/**
 * @param {typeof fetch} fetch
 * @param {string} url
 * @param {RequestInit} options
 * @param {Limits} limits
 * @param {AbortSignal} signal Ends it sooner.
 * @returns {Promise<(Answer & {bytes: Uint8Array, size: number})|Fault>}
 */
export async function answerTo(fetch, url, options, { first, total, maxBody }, signal) {
  const limit = new AbortController();
  const give = (reason) => limit.abort(reason);
  const cancel = () => give('cancelled');
  const timers = [first, total].map((seconds) => setTimeout(give, seconds * 1000, 'timeout'));
  signal.addEventListener('abort', cancel);
  try {
    const response = await fetch(url, { ...options, signal: limit.signal });
    clearTimeout(timers[0]);
    if (response.redirected && new URL(response.url).origin !== new URL(url).origin) {
      give('redirect');
      return { fault: 'redirect', detail: 'The feed redirects to another origin.' };
    }
    const bytes = await read(response, maxBody);
    if (bytes === null) {
      give('too-large');
      return { fault: 'too-large', detail: `The answer has more than ${maxBody} bytes.` };
    }
    const headers = Object.fromEntries(response.headers);
    return { status: response.status, headers, body: textOf(bytes), bytes, size: bytes.length };
  } catch (error) {
    return { fault: limit.signal.aborted ? limit.signal.reason : 'network', detail: String(error) };
  } finally {
    timers.forEach(clearTimeout);
    signal.removeEventListener('abort', cancel);
  }
}

async function read(response, maxBody) {
  const parts = [];
  let size = 0;
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part && !part.done; part = await reader.read()) {
    size += part.value.length;
    if (size > maxBody) return null;
    parts.push(part.value);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function textOf(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return ''; // no page
  }
}
