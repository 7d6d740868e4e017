// The client of a growing log: its decisions by the table that every client shares, and what it does in a page.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { BEGIN, TailMachine, TailStopped, tail } from '../../django_pollable/static/django_pollable/tail.js';
import { Tab, pause, until } from './browser.mjs';

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const keysIn = (values) => Object.fromEntries(Object.entries(values).map(([key, value]) => [camel(key), value]));
const { cases } = JSON.parse(readFileSync(new URL('../data/tail_cases.json', import.meta.url)));
const encoder = new TextEncoder();

function answerOf(told) {
  if ('fault' in told) return told;
  const bytes = 'hex' in told ? Uint8Array.from(told.hex.match(/../g), (pair) => parseInt(pair, 16)) : encoder.encode(told.body);
  return { ...told, bytes, body: told.body ?? '' };
}

function play({ pace, chunk, last = null, start, steps }) {
  let machine = TailMachine.of('https://log.test/', { pace: keysIn(pace), place: keysIn(start), last, chunk });
  steps.forEach((step, number) => {
    const { Range: range, 'If-Range': ifRange = null, 'If-None-Match': ifNoneMatch = null } = machine.headers;
    assert.deepEqual({ range, if_range: ifRange, if_none_match: ifNoneMatch }, step.asks, `asks ${number}`);
    const outcome = machine.receive(answerOf(step.answer), step);
    const seen = { ...outcome.piece, ...outcome };
    for (const [name, wanted] of Object.entries(keysIn(step.means))) {
      if (name === 'wait') assert.ok(Math.abs(seen.wait - wanted) < 1e-6, `step ${number}: ${seen.wait} for ${wanted}`);
      else assert.deepEqual(seen[name], wanted, `${name} of step ${number}`);
    }
    machine = outcome.next;
    assert.deepEqual({ ...machine.place }, keysIn(step.state), `state ${number}`);
    assert.deepEqual({ ...(outcome.piece?.place ?? machine.place) }, keysIn(step.state), `piece ${number}`);
  });
}

for (const given of cases) test(given.name, () => play(given));

test('what makes no sense is refused', () => {
  for (const options of [{ chunk: 3 }, { last: 0 }, { pace: { interval: 0 } }]) {
    assert.throws(() => TailMachine.of('https://log.test/', options), RangeError);
  }
  assert.throws(() => TailMachine.of('ftp://log.test/'), TypeError);
});

/** A log that answers as the server does. */
class Log {
  text = '';
  epoch = 'a';

  answer = ({ headers }) => {
    const bytes = encoder.encode(this.text);
    const etag = `"${bytes.length}-${this.epoch}"`;
    const held = headers.get('if-range');
    if (headers.get('if-none-match') === etag) return new Response(null, { status: 304, headers: { etag } });
    if (held && !held.endsWith(`-${this.epoch}"`)) return new Response(bytes, { headers: { etag } });
    const [first, last] = headers.get('range').match(/\d+/g).map(Number);
    const part = bytes.slice(first, last + 1);
    if (!part.length) return new Response('', { status: 416, headers: { 'content-range': `bytes */${bytes.length}` } });
    const said = `bytes ${first}-${first + part.length - 1}/${bytes.length}`;
    return new Response(part, { status: 206, headers: { etag, 'content-range': said } });
  };
}

function follow(tab, options = {}) {
  const seen = { text: '', restarts: 0, outcomes: [], error: null };
  const ending = new AbortController();
  const log = tail('/log/', {
    scope: tab, signal: ending.signal, pace: { interval: 0.004, backoffCap: 0.004 }, onOutcome: (outcome) => seen.outcomes.push(outcome.reason), ...options,
  });
  const done = (async () => {
    for await (const piece of log) {
      if (piece.isRestart) Object.assign(seen, { text: '', restarts: seen.restarts + 1 });
      seen.text += piece.text;
      seen.place = piece.place;
    }
  })().catch((error) => { seen.error = error; });
  return Object.assign(seen, { end: async () => { ending.abort(); await done; }, done });
}

test('a page shows what a log gets, and begins anew with it', async () => {
  const log = new Log();
  const tab = new Tab(log.answer);
  const seen = follow(tab);
  log.text = 'one é\n';
  await until(() => seen.text === log.text);
  log.text += 'two €\n';
  await until(() => seen.text === log.text);
  Object.assign(log, { text: 'new\n', epoch: 'b' });
  await until(() => seen.text === log.text);
  await seen.end();

  assert.equal(seen.restarts, 1);
  assert.ok(tab.requests.every(({ options, headers }) => options.cache === 'no-store' && headers.get('range')));
});

test('a page goes on where another one was', async () => {
  const log = Object.assign(new Log(), { text: 'one\ntwo\n' });
  const seen = follow(new Tab(log.answer), { place: { offset: 4, etag: '"4-a"', isEnd: true } });

  await until(() => seen.text === 'two\n');

  await seen.end();
  assert.deepEqual(seen.place, { offset: 8, etag: '"8-a"', isEnd: true });
  assert.equal(BEGIN.offset, 0);
});

test('a page that is hidden or offline asks nothing', async () => {
  const log = Object.assign(new Log(), { text: 'one\n' });
  const tab = new Tab(log.answer);
  const seen = follow(tab);
  await until(() => seen.text === 'one\n');
  for (const sleep of [(is) => tab.hide(is), (is) => tab.goOffline(is)]) {
    sleep(true);
    await pause(40);
    const asked = tab.requests.length;
    log.text += 'more\n';
    await pause(40);
    assert.equal(tab.requests.length, asked);
    sleep(false);
    await until(() => seen.text === log.text);
  }
  tab.hide();
  await pause(20);
  await seen.end();
});

test('a hidden page asks where it is told to', async () => {
  const log = Object.assign(new Log(), { text: 'one\n' });
  const tab = new Tab(log.answer);
  tab.hide();
  const seen = follow(tab, { pollsHidden: true });
  await until(() => seen.text === 'one\n');
  await seen.end();
});

test('a network that fails loses nothing', async () => {
  const log = Object.assign(new Log(), { text: 'one\n' });
  let isDown = true;
  const tab = new Tab((request) => {
    if (isDown) throw new TypeError('down');
    return log.answer(request);
  });
  const seen = follow(tab);
  await until(() => seen.outcomes.length > 2);
  isDown = false;
  await until(() => seen.text === log.text);
  await seen.end();

  assert.equal(seen.outcomes[0], 'network');
});

test('a server that refuses for good ends it', async () => {
  const seen = follow(new Tab(() => Response.json({ detail: 'Not yours.' }, { status: 403 })));

  await seen.done;

  assert.ok(seen.error instanceof TailStopped);
  assert.match(seen.error.message, /status-403.*Not yours/);
});

test('an end comes in the middle of a request, too', async () => {
  const seen = follow(new Tab((_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))));
  await pause(10);

  await seen.end();

  assert.deepEqual([seen.error, seen.outcomes], [null, []]);
});
