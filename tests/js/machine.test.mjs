// The client's decisions, by the tables that every client shares.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Machine, NOTHING } from '../../django_pollable/static/django_pollable/machine.js';

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const keysIn = (values, name) => Object.fromEntries(Object.entries(values).map(([key, value]) => [name(key), value]));
const casesOf = (file) => JSON.parse(readFileSync(new URL(`../data/${file}`, import.meta.url))).cases;

function answerOf(told) {
  if ('fault' in told) return told;
  return { ...told, body: typeof told.body === 'string' ? told.body : JSON.stringify(told.body) };
}

function play(given) {
  let machine = Machine.of(given.url, keysIn(given.pace, camel), {
    isConditional: given.validator !== 'browser',
    checkpoint: keysIn(given.start, camel),
  });
  given.steps.forEach((step, number) => {
    const { url, etag } = machine.request;
    assert.deepEqual({ since: new URL(url).searchParams.get('since'), if_none_match: etag }, step.asks, `asks ${number}`);
    const outcome = machine.receive(answerOf(step.answer), step);
    const seen = { ...outcome.page, ...outcome };
    for (const [name, wanted] of Object.entries(keysIn(step.means, camel))) {
      if (name === 'wait') assert.ok(Math.abs(seen.wait - wanted) < 1e-6, `step ${number}: ${seen.wait} for ${wanted}`);
      else assert.deepEqual(seen[name], wanted, `${name} of step ${number}`);
    }
    if (step.handled !== false) machine = outcome.next;
    assert.deepEqual(machine.checkpoint, keysIn(step.state, camel), `state ${number}`);
  });
}

for (const given of casesOf('client_cases.json')) test(given.name, () => play(given));
for (const given of casesOf('browser_cases.json')) test(given.name, () => play(given));

test('a client without a checkpoint begins where its URL says', () => {
  assert.deepEqual(Machine.of('https://x.test/?since=now').checkpoint, { ...NOTHING, cursor: 'now' });
});

test('URLs are canonical, so that clients share cache entries', () => {
  const machine = Machine.of("https://x.test/items/?status=open&since=x&limit=5&name=a%20b~'*#part");

  assert.equal(machine.at({ ...NOTHING, cursor: 'c' }).request.url, 'https://x.test/items/?limit=5&name=a+b~%27%2A&since=c&status=open');
});

test('a URL that cannot be polled is refused', () => {
  for (const url of ['', 'items/', 'ftp://x.test/', 'file:///etc/passwd']) assert.throws(() => Machine.of(url), TypeError);
});

test('a pace that makes no sense is refused', () => {
  for (const pace of [{ interval: 0 }, { interval: NaN }, { backoffCap: 0 }, { drainLimit: 0 }, { revalidateEvery: 0 }]) {
    assert.throws(() => Machine.of('https://x.test/', pace), RangeError);
  }
});

test('each form of a date is understood', () => {
  for (const date of ['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994']) {
    const answer = { status: 503, headers: { 'retry-after': date }, body: '' };
    assert.equal(Machine.of('https://x.test/').receive(answer, { now: 784111777 - 9, draw: 0 }).wait, 9, date);
  }
});

test('no answer makes a wait endless or moves the cursor without a page', () => {
  const odd = ['9'.repeat(400), '1e400', '-5', 'Fri, 99 Foo 2020 25:61:61 GMT', 'max-age=-1', 'Infinity', 'max-age=999999999999'];
  const machine = Machine.of('https://x.test/', {}, { checkpoint: { ...NOTHING, cursor: 'a', etag: '"a"' } });
  for (let status = 100; status < 600; status += 1) {
    for (const value of odd) {
      const headers = { 'retry-after': value, 'x-poll-interval': value, 'cache-control': value, age: value, date: value, etag: value };
      const outcome = machine.receive({ status, headers, body: '[[' }, { now: 0, draw: 0.999 });
      assert.ok(outcome.wait >= 0 && outcome.wait <= 7200, `${status} ${value}: ${outcome.wait}`);
      assert.equal(outcome.page, null);
      assert.equal(outcome.next.checkpoint.cursor, status === 410 ? null : 'a');
    }
  }
});
