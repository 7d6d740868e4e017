/** The board: the rows of a feed, and how it is polled. Whatever the server sends is shown as text. */
import { Poller, Rows } from '../django_pollable/poller.js';
import { closeLog, openLog } from './log.js';

const GLYPHS = { queued: '○', running: '◐', passed: '✓', failed: '✕', cancelled: '–' };
const STATUSES = Object.keys(GLYPHS);
const PHRASES = { 200: 'OK', 304: 'Not Modified', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 410: 'Gone', 429: 'Too Many Requests', 500: 'Server Error', 503: 'Unavailable' };
const LISTED = 5;
const LOGGED = 10;
const FRESH_MILLISECONDS = 2600;
const WINDOW_SECONDS = 120;

const { feed, user } = document.body.dataset;
const $ = (id) => document.getElementById(id);
const names = new Map(JSON.parse($('project-names').textContent).map((project) => [project.id, project]));

/* Builds ------------------------------------------------------------------------------------------------------- */

const rows = new Rows();
const homes = new Map(); // key -> project, for a build can move
const lately = new Map(); // project -> its keys, the latest change last
const cards = new Map(); // project -> {card, ...}
const tiles = new Map(); // key -> tile

function element(tag, properties = {}, ...children) {
  const { data = {}, ...rest } = properties;
  const node = Object.assign(document.createElement(tag), rest);
  Object.assign(node.dataset, data);
  node.append(...children);
  return node;
}

function show(page) {
  const isFirst = page.isReset || poller.state.isSyncing;
  const { changed, removed } = rows.apply(page);
  const touched = new Set();
  for (const key of removed) touched.add(leave(key));
  for (const key of changed) {
    const { project } = rows.get(key);
    if (homes.get(key) !== project) touched.add(leave(key));
    homes.set(key, project);
    const order = lately.get(project) ?? lately.set(project, new Set()).get(project);
    order.delete(key);
    order.add(key);
    touched.add(project);
    placeTile(key, !isFirst);
  }
  touched.delete(undefined);
  for (const project of touched) drawCard(project, new Set(isFirst ? [] : changed));
}

function clear() {
  rows.clear();
  closeLog();
  for (const map of [homes, lately, cards, tiles]) map.clear();
  $('projects').replaceChildren();
}

function leave(key) {
  const project = homes.get(key);
  homes.delete(key);
  lately.get(project)?.delete(key);
  tiles.get(key)?.remove();
  tiles.delete(key);
  return project;
}

function cardOf(project) {
  if (cards.has(project)) return cards.get(project);
  const { name = `Project ${project}`, public: isPublic = false } = names.get(project) ?? {};
  const parts = {
    name, count: element('span', { className: 'count' }), bar: element('div', { className: 'bar', ariaHidden: 'true' }),
    legend: element('ul', { className: 'counts' }), list: element('ol', { className: 'latest', ariaLabel: `Latest in ${name}` }),
    mosaic: element('ul', { className: 'mosaic', ariaLabel: `All builds of ${name}` }),
  };
  const badge = element('span', { className: 'badge', textContent: isPublic ? 'public' : 'private' });
  const head = element('header', {}, element('h2', { textContent: name }), badge, parts.count);
  parts.card = element('section', { className: 'card' }, head, parts.bar, parts.legend, parts.list, parts.mosaic);
  cards.set(project, parts);
  const ordered = [...cards.values()].sort((one, other) => one.name.localeCompare(other.name));
  const after = ordered[ordered.indexOf(parts) + 1];
  $('projects').insertBefore(parts.card, after?.card ?? null);
  return parts;
}

function drawCard(project, fresh) {
  const { count, bar, legend, list } = cardOf(project);
  const order = [...(lately.get(project) ?? [])].reverse();
  const counts = new Map(STATUSES.map((status) => [status, 0]));
  for (const key of order) counts.set(rows.get(key).status, (counts.get(rows.get(key).status) ?? 0) + 1);
  const present = [...counts].filter(([, number]) => number > 0);
  count.textContent = order.length === 1 ? '1 build' : `${order.length} builds`;
  bar.replaceChildren(...present.map(([status, number]) => {
    const part = element('i', { data: { status } });
    part.style.flexGrow = number;
    return part;
  }));
  legend.replaceChildren(...present.map(([status, number]) => element('li', { data: { status }, textContent: `${number} ${status}` })));
  list.replaceChildren(...order.slice(0, LISTED).map((key) => rowOf(rows.get(key), fresh.has(key))));
}

function rowOf({ id, number, branch, commit, status, author, labels, steps }, isFresh) {
  const chip = element('span', { className: 'chip', data: { status }, textContent: `${GLYPHS[status] ?? '?'} ${status}` });
  const track = element('span', { className: 'steps', ariaLabel: steps.map((step) => `${step.name} ${step.status}`).join(', '), role: 'img' });
  track.append(...steps.map((step) => element('i', { data: { status: step.status }, title: `${step.name}: ${step.status}` })));
  const about = element('span', { className: 'about' },
    element('b', { textContent: `#${number}` }), ' ', element('span', { textContent: branch }), ' ',
    element('code', { textContent: String(commit).slice(0, 7) }), ' ',
    ...labels.map((label) => element('span', { className: 'label', textContent: label })), ' ',
    element('span', { className: 'by', textContent: `by ${author}` }));
  return element('li', { className: isFresh ? 'is-fresh' : '', data: { id } }, chip, about, track);
}

function placeTile(key, isFresh) {
  const { id, project, number, status, branch } = rows.get(key);
  const tile = tiles.get(key) ?? element('li', { data: { id } }, element('span', { ariaHidden: 'true' }), element('button'));
  const [glyph, button] = tile.children;
  tile.dataset.status = status;
  tile.title = `#${number} ${status}, ${branch}`;
  glyph.textContent = GLYPHS[status] ?? '?';
  button.textContent = `#${number} ${status}`;
  if (!tiles.has(key)) {
    const { mosaic } = cardOf(project);
    const after = [...mosaic.children].find((other) => Number(other.dataset.id) < id);
    mosaic.insertBefore(tile, after ?? null);
    tiles.set(key, tile);
  }
  if (isFresh) highlight(tile);
}

function highlight(node) {
  node.classList.remove('is-fresh');
  void node.offsetWidth; // so that the animation begins again
  node.classList.add('is-fresh');
  setTimeout(() => node.classList.remove('is-fresh'), FRESH_MILLISECONDS);
}

/* The wire ----------------------------------------------------------------------------------------------------- */

const wire = { polls: 0, answered: 0, unchanged: 0, received: 0, saved: 0, whole: 0, history: [], goodAt: null, wasExpired: false, wait: 0 };

function count(poll) {
  const { kind, status, size, isRelayed } = poll;
  const isGood = kind === 'page' || kind === 'idle';
  const bytes = isRelayed ? 0 : size;
  wire.polls += 1;
  wire.received += bytes;
  wire.wait = poll.wait;
  if (isGood) {
    wire.answered += 1;
    wire.goodAt = Date.now() / 1000;
    if (status === 304) wire.unchanged += 1;
    if (wire.isFirst) wire.whole += size;
    else wire.saved += Math.max(wire.whole - bytes, 0);
    wire.isFirst = poller.state.isSyncing;
    if (!wire.isFirst) wire.wasExpired = false;
  }
  if (kind === 'resync') Object.assign(wire, { wasExpired: true, isFirst: true, whole: 0 });
  wire.history.push({ ...poll, bytes, at: Date.now() / 1000 });
  wire.history = wire.history.filter(({ at }, index) => at > Date.now() / 1000 - WINDOW_SECONDS || index >= wire.history.length - LOGGED);
}
wire.isFirst = true;

function drawWire() {
  const { last } = poller.state;
  const cost = `${bytesOf(last.size)} · ${Math.round(last.seconds * 1000)} ms`;
  const answer = last.status ? [PHRASES[last.status], cost].filter(Boolean).join(' · ') : `No answer (${last.reason})`;
  $('last-status').textContent = last.status || '–';
  $('last-status').dataset.kind = last.kind;
  $('last-text').textContent = last.isRelayed ? 'by another tab' : answer;
  $('polls').textContent = wire.polls;
  $('ratio').textContent = wire.answered ? `${Math.round((100 * wire.unchanged) / wire.answered)} %` : '–';
  $('received').textContent = bytesOf(wire.received);
  $('saved').textContent = bytesOf(wire.saved);
  $('log').replaceChildren(...wire.history.slice(-LOGGED).reverse().map((poll) => {
    const { kind, status, reason, bytes, items, removed, wait, at } = poll;
    const cells = [clock(at), status || reason, bytesOf(bytes), items || '', removed || '', `${wait.toFixed(1)} s`];
    return element('tr', { data: { kind } }, ...cells.map((cell) => element('td', { textContent: cell })));
  }));
}

function drawChart() {
  const now = Date.now() / 1000;
  const shown = wire.history.filter(({ at }) => now - at < WINDOW_SECONDS);
  const most = Math.log1p(Math.max(...shown.map(({ size }) => size), 1));
  const bars = shown.map(({ kind, size, at }) => {
    const isQuiet = kind === 'idle';
    const height = isQuiet ? 4 : kind === 'page' ? 6 + (54 * Math.log1p(size)) / most : 60;
    const bar = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
    const place = { x: 236 - (236 * (now - at)) / WINDOW_SECONDS, y: 64 - height, width: 3, height, rx: 1 };
    for (const [name, value] of Object.entries(place)) bar.setAttribute(name, value);
    bar.dataset.kind = kind;
    return bar;
  });
  $('chart').replaceChildren(...bars);
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hourCycle: 'h23' });
}

function bytesOf(number) {
  if (number < 1000) return `${number} B`;
  return number < 1e6 ? `${(number / 1e3).toFixed(number < 1e4 ? 1 : 0)} kB` : `${(number / 1e6).toFixed(1)} MB`;
}

/* How things are ----------------------------------------------------------------------------------------------- */

function condition({ paused, reason, role, isSyncing, last }) {
  const since = wire.goodAt ? `What you see is from ${clock(wire.goodAt)}.` : '';
  if (reason === 'identity-changed') return ['stop', 'Someone else has signed in', 'Reload the page to see their builds.'];
  if (paused === 'stopped' && reason.startsWith('status-')) return ['stop', 'Stopped', stopText(reason, last)];
  if (paused === 'stopped') return ['still', 'Paused', since];
  if (paused === 'offline') return ['warn', 'Offline', `Polling goes on when the network is back. ${since}`];
  if (paused === 'hidden') return ['still', 'Asleep', 'Nobody is looking, so nobody asks.'];
  if (last?.kind === 'resync') return ['wait', 'Resyncing', `The server has lost our place (${last.reason}): everything is fetched anew.`];
  if (last?.status === 429) return ['warn', 'Limited', `Too many requests: the server asks us to wait. ${since}`];
  if (last?.kind === 'backoff' && last.status === 0) return ['stop', 'The server does not answer', since];
  if (last?.kind === 'backoff') return ['warn', last.status === 503 ? 'The server is busy' : 'Something is wrong', `${last.detail} ${since}`];
  if (isSyncing) return ['wait', wire.wasExpired ? 'Resyncing' : 'Connecting', 'Fetching every build.'];
  return ['live', 'Live', role === 'follower' ? 'Another tab of this browser polls for us.' : 'Changes appear by themselves.'];
}

function stopText(reason, last) {
  if (['status-401', 'status-403'].includes(reason)) return 'You are signed out, or may not see these builds. Sign in to go on.';
  return last?.detail || `The server answers ${reason.replace('status-', '')}.`;
}

function drawCondition() {
  const { state } = poller;
  const [tone, title, text] = condition(state);
  $('condition').dataset.tone = tone;
  say('condition-title', title);
  say('condition-text', text);
  const resume = state.reason === 'identity-changed' ? 'Reload' : 'Resume';
  $('pause').textContent = state.paused === 'stopped' ? resume : 'Pause';
  $('again').hidden = !(state.paused === null && state.last?.kind === 'backoff' && state.last.status === 0);
  document.title = `Builds · ${title}`;
}

// A live region is touched only when it has something new to say.
function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function drawCountdown() {
  const { paused, nextAt, role } = poller.state;
  const left = Math.max(nextAt - Date.now() / 1000, 0);
  const ready = left > 0 ? `next poll in ${left < 10 ? left.toFixed(1) : Math.round(left)} s` : 'polling …';
  $('countdown').textContent = paused ? 'not polling' : role === 'follower' ? 'another tab polls' : ready;
  $('progress').style.transform = `scaleX(${paused || !wire.wait ? 0 : Math.min(left / wire.wait, 1)})`;
}

/* Polling ------------------------------------------------------------------------------------------------------ */

// A new session changes the CSRF cookie, in whichever tab it begins.
const session = () => /(?:^|; )csrftoken=([^;]*)/.exec(document.cookie)?.[1] ?? '';
const began = session();
const poller = new Poller(feed, { onPage: show, identity: user ? () => `${user} ${session()}` : '', pace: { interval: 2 } });

poller.addEventListener('poll', ({ detail }) => {
  count(detail);
  drawWire();
  drawChart();
  drawCondition();
  drawCountdown();
});
poller.addEventListener('state', () => {
  const { paused, reason } = poller.state;
  if (user && paused === 'stopped' && reason) clear();
  drawCondition();
});
$('pause').addEventListener('click', () => {
  const { paused, reason } = poller.state;
  if (reason === 'identity-changed') location.reload();
  else if (paused === 'stopped') poller.start();
  else poller.stop();
});
$('projects').addEventListener('click', ({ target }) => {
  const build = rows.get(target.closest('li[data-id]')?.dataset.id);
  if (build) openLog(build);
});
document.addEventListener('visibilitychange', () => user && session() !== began && location.reload());
$('again').addEventListener('click', () => poller.wake());
setInterval(drawCountdown, 200);
setInterval(drawChart, 1000);
poller.start();
