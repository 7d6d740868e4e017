// A browser of the test's own: tabs with a page, a network and locks; time passes fast, for intervals are short.

// Node 18 has it behind a flag.
globalThis.CustomEvent ??= class extends Event {
  constructor(type, { detail }) {
    super(type);
    this.detail = detail;
  }
};

/** Locks that tabs share, as `navigator.locks` has them. */
export class Locks {
  #held = new Map();

  async request(name, { ifAvailable = false, signal }, callback) {
    const before = this.#held.get(name);
    if (before && ifAvailable) return callback(null);
    const held = (before ?? Promise.resolve()).then(async () => {
      if (signal?.aborted) throw new DOMException('aborted', 'AbortError');
      return callback({ name });
    });
    const over = held.catch(() => {}).then(() => this.#held.get(name) === over && this.#held.delete(name));
    this.#held.set(name, over);
    return held;
  }
}

/** What a poller sees of one tab; `answers(request)` is the network. */
export class Tab extends EventTarget {
  location = new URL('https://board.test/');
  document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  BroadcastChannel = globalThis.BroadcastChannel;
  requests = [];

  constructor(answers, { locks } = {}) {
    super();
    this.navigator = { onLine: true, locks };
    this.answers = answers;
  }

  async fetch(url, options) {
    const headers = new Headers(options.headers);
    const request = { url, since: new URL(url).searchParams.get('since'), tag: headers.get('if-none-match'), headers, options };
    this.requests.push(request);
    return this.answers(request, options.signal);
  }

  hide(isHidden = true) {
    this.document.visibilityState = isHidden ? 'hidden' : 'visible';
    this.document.dispatchEvent(new Event('visibilitychange'));
  }

  goOffline(isOffline = true) {
    this.navigator.onLine = !isOffline;
    this.dispatchEvent(new Event(isOffline ? 'offline' : 'online'));
  }
}

/** A feed of numbered changes: a change is `{id, ...}`, or `{gone: id}`. */
export class Feed {
  changes = [];
  limit = 100;

  answer = ({ since, tag }) => {
    const etag = `W/"${this.changes.length}"`;
    const headers = { etag };
    if (tag === etag) return new Response(null, { status: 304, headers });
    const from = Number(since ?? 0);
    const part = this.changes.slice(from, from + this.limit);
    const end = from + part.length;
    return Response.json(
      {
        items: part.filter((change) => 'id' in change),
        removed: part.filter((change) => 'gone' in change).map((change) => String(change.gone)),
        next_since: String(end),
        has_more: end < this.changes.length,
        reset: since === null,
      },
      { headers: end < this.changes.length ? {} : headers },
    );
  };
}

/** Wait until something holds. */
export async function until(holds, what = String(holds)) {
  for (let turn = 0; turn < 500; turn += 1) {
    if (await holds()) return;
    await pause(4);
  }
  throw new Error(`It never came: ${what}`);
}

export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
