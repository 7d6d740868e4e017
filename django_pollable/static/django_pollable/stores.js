/**
 * Where checkpoints are kept, and `Rows`, a map that equals the feed.
 *
 * @typedef {import('./machine.js').Checkpoint} Checkpoint
 * @typedef {import('./machine.js').Page} Page
 *
 * @typedef {object} Store
 * @property {boolean} isShared The browser's tabs see one another's checkpoints.
 * @property {(key: string) => Promise<Checkpoint|null>} load
 * @property {(key: string, checkpoint: Checkpoint) => Promise<void>} save
 * @property {(key: string) => Promise<void>} remove
 */

/** Forgets with the page: for views that are drawn anew each time. @implements {Store} */
export class MemoryStore {
  isShared = false;
  #kept = new Map();

  async load(key) {
    return this.#kept.get(key) ?? null;
  }

  async save(key, checkpoint) {
    this.#kept.set(key, checkpoint);
  }

  async remove(key) {
    this.#kept.delete(key);
  }
}

/**
 * Keeps the place, and no row: for handlers that need only what is new, or keep rows of their own and take a page twice.
 * A browser that is killed can lose the last seconds. @implements {Store}
 */
export class LocalStore {
  isShared = true;
  #storage;

  constructor({ storage = globalThis.localStorage } = {}) {
    this.#storage = storage;
  }

  async load(key) {
    return checkpointOf(this.#storage.getItem(`pollable ${key}`));
  }

  async save(key, checkpoint) {
    this.#storage.setItem(`pollable ${key}`, JSON.stringify(checkpoint));
  }

  async remove(key) {
    this.#storage.removeItem(`pollable ${key}`);
  }
}

/**
 * Keeps rows and checkpoint in one database, so that a handler can commit both at once:
 * `commit((transaction) => transaction.objectStore('builds').put(row))`. @implements {Store}
 */
export class IndexedStore {
  isShared = true;
  #rows;

  /**
   * @param {string} name The database's.
   * @param {{identity?: string, rows?: Record<string, IDBObjectStoreParameters>}} [options] `identity`: whose rows they
   *   are; each has a database. `rows`: object stores to create, `{builds: {keyPath: 'id'}}`.
   */
  constructor(name, { identity = '', rows = {} } = {}) {
    this.#rows = Object.keys(rows);
    const opening = indexedDB.open(`${name} ${identity}`.trim(), 1);
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore('pollable');
      for (const [store, parameters] of Object.entries(rows)) opening.result.createObjectStore(store, parameters);
    };
    /** @type {Promise<IDBDatabase>} */
    this.database = settled(opening).then(() => opening.result);
  }

  async load(key) {
    const database = await this.database;
    return (await settled(database.transaction('pollable').objectStore('pollable').get(key))) ?? null;
  }

  save(key, checkpoint) {
    return this.commit(key, checkpoint, () => {});
  }

  remove(key) {
    return this.#write((transaction) => {
      transaction.objectStore('pollable').delete(key);
      for (const store of this.#rows) transaction.objectStore(store).clear();
    });
  }

  /** Write rows and checkpoint, or neither. @param {(transaction: IDBTransaction) => void} write Must not wait. */
  commit(key, checkpoint, write) {
    return this.#write((transaction) => {
      write(transaction);
      transaction.objectStore('pollable').put(checkpoint, key);
    });
  }

  async #write(change) {
    const database = await this.database;
    const transaction = database.transaction(['pollable', ...this.#rows], 'readwrite', { durability: 'strict' });
    const end = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error ?? new Error('The transaction was aborted.'));
    });
    try {
      change(transaction);
    } catch (error) {
      transaction.abort();
      end.catch(() => {});
      throw error;
    }
    await end;
  }
}

/** A map of keys and items that equals the feed once a page is applied: marks what a first sync brings, and sweeps the rest. */
export class Rows extends Map {
  #seen = null;

  /** @param {(item: any) => string|number} keyOf */
  constructor(keyOf = (item) => item.id) {
    super();
    this.keyOf = keyOf;
  }

  /** Take a page in. @param {Page} page @returns {{changed: string[], removed: string[]}} The keys that differ now. */
  apply(page) {
    if (page.isReset) this.#seen = new Set();
    const changed = page.items.map((item) => {
      const key = String(this.keyOf(item));
      this.set(key, item);
      this.#seen?.add(key);
      return key;
    });
    const removed = page.removed.filter((key) => this.delete(key));
    if (page.endsReset) {
      const seen = this.#seen;
      if (seen) removed.push(...[...this.keys()].filter((key) => !seen.has(key) && this.delete(key)));
      this.#seen = null;
    }
    return { changed, removed };
  }
}

function checkpointOf(text) {
  try {
    const { cursor, etag, isResetting, unchanged } = JSON.parse(text ?? 'null');
    const isText = [cursor, etag].every((value) => value === null || typeof value === 'string');
    return isText ? { cursor, etag, isResetting: isResetting === true, unchanged: Number(unchanged) || 0 } : null;
  } catch {
    return null;
  }
}

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error('The database is in use in another version.'));
  });
}
