// The poller, in tabs of a browser that is the test's own.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';

import { LocalStore, MemoryStore, Poller, Rows } from '../../django_pollable/static/django_pollable/poller.js';
import { Feed, Locks, Tab, pause, until } from './browser.mjs';

const running = new Set();
afterEach(() => Promise.all([...running].map((poller) => poller.stop())));

function follow(tab, options = {}) {
  const rows = new Rows();
  const polls = [];
  const poller = new Poller('/items/', {
    onPage: (page) => rows.apply(page), scope: tab, pace: { interval: 0.02, backoffCap: 0.02 }, random: () => 0.5, ...options,
  });
  poller.addEventListener('poll', ({ detail }) => polls.push(detail));
  running.add(poller.start());
  return { poller, rows, polls, kinds: () => polls.map(({ kind }) => kind) };
}

test('what changes arrives, and what does not is a 304', async () => {
  const feed = new Feed();
  feed.changes.push({ id: 1, name: 'one' }, { id: 2, name: 'two' });
  const tab = new Tab(feed.answer);
  const { rows, polls } = follow(tab);

  await until(() => polls.at(-1)?.status === 304);
  feed.changes.push({ id: 1, name: 'uno' }, { gone: 2 });
  await until(() => rows.get('1')?.name === 'uno');

  assert.deepEqual([...rows.keys()], ['1']);
  assert.deepEqual([tab.requests[1].since, tab.requests[1].tag], ['2', 'W/"2"']);
  assert.equal(tab.requests[1].options.cache, 'no-store');
});

test('pages are drained without a wait, one at a time', async () => {
  const feed = Object.assign(new Feed(), { limit: 1 });
  feed.changes.push({ id: 1 }, { id: 2 }, { id: 3 });
  const { rows, polls } = follow(new Tab(feed.answer), { pace: { interval: 60 } });

  await until(() => rows.size === 3);

  assert.deepEqual(polls.slice(0, 2).map(({ reason, wait }) => [reason, wait]), [['more', 0], ['more', 0]]);
});

test('a page whose handler fails comes again', async () => {
  const feed = new Feed();
  feed.changes.push({ id: 1 });
  const taken = [];
  const onPage = (page) => {
    taken.push(page.nextSince);
    if (taken.length === 1) throw new Error('full');
  };
  const { polls } = follow(new Tab(feed.answer), { onPage });

  await until(() => polls.at(-1)?.status === 304);

  assert.deepEqual(taken, ['1', '1']);
  assert.deepEqual([polls[0].kind, polls[0].reason, polls[0].detail], ['backoff', 'handler', 'Error: full']);
});

test('a checkpoint is stored after the page has been handled, and found again', async () => {
  const feed = new Feed();
  feed.changes.push({ id: 1 });
  const kept = new Map();
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
  const stores = [];
  const onPage = () => stores.push(kept.size);
  const first = follow(new Tab(feed.answer), { store: new LocalStore({ storage }), onPage });
  await until(() => first.polls.length);
  await first.poller.stop();

  const tab = new Tab(feed.answer);
  const second = follow(tab, { store: new LocalStore({ storage }), onPage });
  await until(() => second.polls.length);

  assert.deepEqual(stores, [0]);
  assert.deepEqual([tab.requests[0].since, tab.requests[0].tag], ['1', 'W/"1"']);
  await second.poller.forget();
  assert.equal(kept.size, 0);
});

test('another user begins anew, and sees no answer of the one before', async () => {
  const feed = new Feed();
  feed.changes.push({ id: 1 });
  let user = 'alice';
  let answered;
  const tab = new Tab(async (request) => {
    await answered;
    return feed.answer(request);
  });
  const { poller, rows, polls } = follow(tab, { identity: () => user });
  await until(() => polls.at(-1)?.status === 304);

  let answer;
  answered = new Promise((resolve) => (answer = resolve));
  const asked = tab.requests.length;
  await until(() => tab.requests.length > asked);
  feed.changes.push({ id: 2 });
  user = 'bob';
  answer();
  await until(() => poller.state.reason === 'identity-changed');
  await poller.stop();
  poller.start();
  await until(() => rows.has('2'));

  assert.equal(tab.requests.at(asked + 1).since, null);
  assert.equal(tab.requests.at(asked + 1).tag, null);
});

test('what arrives after the end is not shown', async () => {
  const feed = new Feed();
  feed.changes.push({ id: 1 });
  let answer;
  const tab = new Tab(async (request) => {
    await new Promise((resolve) => (answer = resolve));
    return feed.answer(request);
  });
  const { poller, rows } = follow(tab);
  await until(() => answer);

  const over = poller.stop();
  answer();
  await over;

  assert.equal(rows.size, 0);
  assert.equal(tab.requests[0].options.signal.aborted, true);
});

test('a hidden page and one offline ask nothing, and ask again afterwards', async () => {
  for (const [leave, reason] of [['hide', 'hidden'], ['goOffline', 'offline']]) {
    const feed = new Feed();
    const tab = new Tab(feed.answer);
    const { poller, rows, polls } = follow(tab);
    await until(() => polls.at(-1)?.status === 304);

    tab[leave]();
    assert.equal(poller.state.paused, reason);
    await pause(10);
    const asked = tab.requests.length;
    feed.changes.push({ id: 1 });
    await pause(80);
    assert.equal(tab.requests.length, asked);
    tab[leave](false);

    await until(() => rows.size === 1);
  }
});

test('waking does not cut a Retry-After short', async () => {
  const tab = new Tab(() => new Response('', { status: 429, headers: { 'retry-after': '40' } }));
  const { poller, polls } = follow(tab);
  await until(() => polls.length);
  const { nextAt } = poller.state;

  tab.hide();
  tab.hide(false);
  tab.goOffline();
  tab.goOffline(false);
  poller.wake();
  await pause(60);

  assert.equal(tab.requests.length, 1);
  assert.ok(poller.state.nextAt >= nextAt && nextAt - Date.now() / 1000 > 39);
});

test('going online again does not wait for the backoff of a dead network', async () => {
  const tab = new Tab(() => Promise.reject(new TypeError('no network')));
  const { polls } = follow(tab, { pace: { interval: 60 } });
  await until(() => polls.length);

  tab.goOffline();
  tab.goOffline(false);

  await until(() => polls.length === 2, 'a second poll');
  assert.deepEqual([polls[0].kind, polls[0].reason, polls[0].status], ['backoff', 'network', 0]);
});

test('an answer that takes too long, trickles or is too large is a fault', async () => {
  const body = (milliseconds) =>
    new ReadableStream({
      async pull(stream) {
        await pause(milliseconds);
        stream.enqueue(new Uint8Array(10));
      },
    });
  const stalled = (_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const faults = [];
  for (const [answer, limits] of [
    [stalled, { first: 0.02 }],
    [() => new Response(body(0)), { maxBody: 100 }],
  ]) {
    const { poller, polls } = follow(new Tab(answer), { limits });
    await until(() => polls.length);
    faults.push(polls[0].reason);
    await poller.stop();
  }

  assert.deepEqual(faults, ['timeout', 'too-large']);
});

test('a body may take longer than its beginning, and must be text', async () => {
  const text = '{"items": [], "removed": [], "next_since": "1", "has_more": false, "reset": true}';
  const slow = async (_, signal) => {
    const body = new ReadableStream({
      async start(stream) {
        signal.addEventListener('abort', () => stream.error(signal.reason));
        await pause(60);
        stream.enqueue(new TextEncoder().encode(text));
        stream.close();
      },
    });
    return new Response(body);
  };
  const broken = () => new Response(new TextEncoder().encode(text.replace('1', '\u00ff')).map((byte) => (byte > 127 ? 255 : byte)));
  const reasons = [];
  for (const answer of [slow, broken]) {
    const { poller, polls } = follow(new Tab(answer), { limits: { first: 0.03, total: 5 } });
    await until(() => polls.length);
    reasons.push(polls[0].reason);
    await poller.stop();
  }

  assert.deepEqual(reasons, ['last', 'invalid-page']);
});

test('what is forbidden stops the poller, until it is started again', async () => {
  const feed = new Feed();
  let status = 403;
  const tab = new Tab((request) => (status === 200 ? feed.answer(request) : Response.json({ detail: 'No.' }, { status })));
  const { poller, polls } = follow(tab);
  await until(() => poller.state.paused === 'stopped' && polls.length);
  await poller.stop();
  assert.deepEqual([tab.requests.length, poller.state.reason, polls[0].detail], [1, 'status-403', 'No.']);

  status = 200;
  poller.start();

  await until(() => polls.at(-1).status === 304);
});

test('a 410 leads to a first sync that sweeps', async () => {
  const feed = new Feed();
  feed.changes.push({ id: 1 }, { id: 2 });
  let isExpired = false;
  const tab = new Tab((request) => {
    if (!isExpired || request.since === null) return feed.answer(request);
    return Response.json({ reason: 'history-pruned' }, { status: 410 });
  });
  const { rows, polls, kinds } = follow(tab);
  await until(() => rows.size === 2);

  feed.changes = [{ id: 2 }, { id: 3 }, { id: 4 }];
  isExpired = true;
  await until(() => rows.has('4'));

  assert.deepEqual([...rows.keys()], ['2', '3', '4']);
  assert.equal(polls[kinds().indexOf('resync')].reason, 'history-pruned');
});

test('across origins the browser keeps the tags', async () => {
  const tab = new Tab(new Feed().answer);
  tab.location = new URL('https://elsewhere.test/');
  const poller = new Poller('https://board.test/items/', { onPage: () => {}, scope: tab, pace: { interval: 0.02 } });
  running.add(poller.start());

  await until(() => tab.requests.length > 2);

  assert.deepEqual(tab.requests.map(({ tag }) => tag), tab.requests.map(() => null));
  assert.equal(tab.requests[0].options.cache, 'default');
});

test('of the tabs that follow a feed one polls, and the others see what it sees', async () => {
  const feed = new Feed();
  feed.changes.push({ id: 1 });
  const locks = new Locks();
  const [one, two] = [new Tab(feed.answer, { locks }), new Tab(feed.answer, { locks })];
  const leader = follow(one);
  await until(() => leader.polls.length > 1);
  const follower = follow(two);
  await until(() => follower.rows.size === 1);
  const asked = two.requests.length;

  feed.changes.push({ id: 2 });
  await until(() => follower.rows.size === 2);
  await until(() => follower.polls.at(-1).status === 304);

  assert.equal(asked, 1);
  assert.equal(two.requests.length, asked);
  assert.deepEqual([leader.poller.state.role, follower.poller.state.role], ['leader', 'follower']);
  assert.equal(follower.polls.at(-1).isRelayed, true);
});

test('a follower takes over from a leader that hides, where it stands', async () => {
  const feed = new Feed();
  const locks = new Locks();
  const [one, two] = [new Tab(feed.answer, { locks }), new Tab(feed.answer, { locks })];
  const leader = follow(one);
  await until(() => leader.polls.length > 1);
  const follower = follow(two);
  await until(() => follower.poller.state.role === 'follower' && follower.polls.length);

  one.hide();
  await until(() => follower.poller.state.role === 'leader');
  feed.changes.push({ id: 1 });
  await until(() => follower.rows.size === 1 && leader.rows.size === 1);

  assert.equal(two.requests.filter(({ since }) => since === null).length, 1);
  assert.equal(leader.poller.state.paused, 'hidden');
});

test('a follower that has missed a page looks for itself', async () => {
  const feed = new Feed();
  const locks = new Locks();
  const [one, two] = [new Tab(feed.answer, { locks }), new Tab(feed.answer, { locks })];
  const leader = follow(one);
  await until(() => leader.polls.length > 1);
  let fails = 1;
  const rows = new Rows();
  const onPage = (page) => {
    if (page.items.length && fails-- > 0) throw new Error('not now');
    rows.apply(page);
  };
  const follower = follow(two, { onPage });
  await until(() => follower.poller.state.role === 'follower' && follower.polls.length);

  feed.changes.push({ id: 1 });
  await until(() => leader.rows.size === 1);
  feed.changes.push({ id: 2 });

  await until(() => rows.size === 2);
});

test('a follower whose leader falls silent looks for itself', async () => {
  const feed = new Feed();
  const locks = new Locks();
  locks.request('pollable https://board.test/items/', {}, () => new Promise(() => {}));
  const { poller, rows } = follow(new Tab(feed.answer, { locks }), { limits: { total: 0.05, first: 0.05 } });
  await until(() => poller.state.role === 'follower' && poller.state.last);

  feed.changes.push({ id: 1 });

  await until(() => rows.size === 1);
});

/** A tab whose leader is the test: it holds the lock, and tells what it likes. */
async function followTest(feed, options) {
  const name = 'pollable https://board.test/items/';
  const locks = new Locks();
  locks.request(name, {}, () => new Promise(() => {}));
  const channel = new BroadcastChannel(name);
  const heard = [];
  channel.onmessage = ({ data }) => heard.push(data);
  const tab = new Tab(feed.answer, { locks });
  const followed = follow(tab, options);
  await until(() => followed.poller.state.last && followed.poller.state.role === 'follower');
  const tell = (since, cursor, items) =>
    channel.postMessage({
      since,
      page: { items, removed: [], nextSince: cursor, hasMore: false, isReset: false, endsReset: false },
      checkpoint: { cursor, etag: null, isResetting: false, unchanged: 0 },
      poll: { kind: 'page', reason: 'last', status: 200, wait: 0.02 },
    });
  return { ...followed, tab, tell, heard, close: () => channel.close() };
}

test('a follower takes what continues its own view, and asks where that does not', async () => {
  const feed = new Feed();
  const { rows, tab, tell, heard, close } = await followTest(feed);
  const asked = tab.requests.length;

  tell('0', '1', [{ id: 1 }]);
  await until(() => rows.has('1'));
  assert.equal(tab.requests.length, asked);
  tell('5', '6', [{ id: 9 }]);
  await until(() => tab.requests.length > asked);

  assert.equal(rows.has('9'), false);
  assert.deepEqual(heard, []);
  close();
});

test('a follower whose handler fails asks for itself', async () => {
  const feed = new Feed();
  feed.changes.push({ id: 1 });
  const taken = [];
  let fails = false;
  const onPage = (page) => {
    if (fails) {
      fails = false;
      throw new Error('not now');
    }
    taken.push(...page.items.map(({ id }) => id));
  };
  const { tell, close } = await followTest(feed, { onPage });

  fails = true;
  feed.changes.push({ id: 2 });
  tell('1', '2', [{ id: 2 }]);
  await until(() => taken.length === 2);

  assert.deepEqual(taken, [1, 2]);
  close();
});

test('a follower leaves a shared store to its leader', async () => {
  const feed = new Feed();
  feed.changes.push({ id: 1 });
  const store = Object.assign(new MemoryStore(), { isShared: true });
  const { rows, tell, close } = await followTest(feed, { store });

  tell('1', '2', [{ id: 2 }]);
  await until(() => rows.has('2'));

  assert.equal(await store.load('https://board.test/items/'), null);
  close();
});

test('a change of user is noticed when the page wakes, and when another tab tells', async () => {
  for (const notice of ['wakes', 'told']) {
    let user = '';
    const { poller, rows, tab, tell, close } = await followTest(new Feed(), { identity: () => user, pace: { interval: 60 } });
    const asked = tab.requests.length;

    if (notice === 'wakes') tab.hide();
    user = 'bob';
    if (notice === 'wakes') tab.hide(false);
    else tell('0', '1', [{ id: 1 }]);
    await until(() => poller.state.reason === 'identity-changed', notice);

    assert.deepEqual([rows.size, tab.requests.length], [0, asked]);
    close();
  }
});

test('a leader goes on where the shared rows are, after its own view is complete', async () => {
  const feed = new Feed();
  feed.changes.push({ id: 1 }, { id: 2 }, { id: 3 });
  const locks = new Locks();
  const store = Object.assign(new MemoryStore(), { isShared: true });
  let release;
  locks.request('pollable https://board.test/items/', {}, () => new Promise((resolve) => (release = resolve)));
  const tab = new Tab(feed.answer, { locks });
  const { poller, rows } = follow(tab, { store });
  await until(() => rows.size === 3);
  await store.save('https://board.test/items/', { cursor: '1', etag: null, isResetting: false, unchanged: 0 });

  release();
  await until(() => poller.state.role === 'leader');
  await until(async () => (await store.load('https://board.test/items/')).cursor === '3');

  assert.deepEqual(tab.requests.filter(({ since }) => since === '1').length, 1);
});

test('where locks are missing or refused each tab polls for itself', async () => {
  const feed = new Feed();
  const locks = { request: () => Promise.reject(new DOMException('sandboxed', 'SecurityError')) };
  const tabs = [new Tab(feed.answer), new Tab(feed.answer, { locks })];

  const pollers = tabs.map((tab) => follow(tab).poller);
  await until(() => tabs.every((tab) => tab.requests.length > 2));

  assert.deepEqual(pollers.map(({ state }) => state.role), ['leader', 'leader']);
});

test('rows are marked and swept over the pages of a first sync', () => {
  const rows = new Rows();
  rows.apply({ items: [{ id: 1 }, { id: 2 }], removed: [], isReset: true, endsReset: true });

  rows.apply({ items: [{ id: 2 }], removed: [], isReset: true, endsReset: false });
  assert.equal(rows.size, 2);
  const last = rows.apply({ items: [{ id: 3 }], removed: ['9'], isReset: false, endsReset: true });

  assert.deepEqual(last, { changed: ['3'], removed: ['1'] });
  assert.deepEqual([...rows.keys()], ['2', '3']);
});

test('the end of a first sync sweeps nothing where its beginning was not seen', () => {
  const rows = new Rows();
  rows.set('1', { id: 1 });

  rows.apply({ items: [{ id: 2 }], removed: [], isReset: false, endsReset: true });

  assert.deepEqual([...rows.keys()], ['1', '2']);
});
