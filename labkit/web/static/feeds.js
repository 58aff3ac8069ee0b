/**
 * The feeds that the page listens to: each is resumed where it stopped after a broken connection, and acknowledged when
 * its listener is done with the data. Used by session.js and device.js.
 */

/** @import { FeedMessage } from "./types.js" */
/** @import { Session } from "./session.js" */

/**
 * lost: bytes that were dropped before this data, -1 for an unknown number. history: kept from before the page was
 * there (so a terminal must not answer it).
 * @typedef {{lost: number, history: boolean}} FeedNote
 * @typedef {(data: any, note: FeedNote) => void | Promise<void>} FeedListener
 */

class Subscription {
  /** @param {string} device @param {string} feed @param {FeedListener} listener @param {(error: Error) => void} failed */
  constructor(device, feed, listener, failed) {
    this.device = device;
    this.feed = feed;
    this.listener = listener;
    this.failed = failed;
    /** @type {string | null} where to resume: behind the last data that this page has */
    this.cursor = null;
    this.connection = 0;
    this.done = Promise.resolve();
  }
}

export class Feeds {
  /** @param {Session} session */
  constructor(session) {
    this._session = session;
    this._connection = 0;
    /** @type {Map<string, Subscription>} */
    this._all = new Map();
  }

  /**
   * Listen to a feed. Errors: one that has a listener already.
   * @param {string} device @param {string} feed @param {FeedListener} listener @param {(error: Error) => void} failed
   * @returns {() => void} call it to stop
   */
  subscribe(device, feed, listener, failed) {
    const name = key(device, feed);
    if (this._all.has(name)) throw new Error(`Feed '${feed}' of ${device} has a listener already. Stop that one first.`);
    const subscription = new Subscription(device, feed, listener, failed);
    this._all.set(name, subscription);
    if (this._session.online) this._ask(subscription);
    return () => {
      if (this._all.get(name) !== subscription) return;
      this._all.delete(name);
      this._session.tell("unsubscribe", { device, feed });
    };
  }

  /** Ask for every feed again, from where it stopped: the connection is a new one. */
  resume() {
    this._connection += 1;
    for (const subscription of this._all.values()) this._ask(subscription);
  }

  /** @param {Subscription} subscription */
  async _ask(subscription) {
    const { device, feed, cursor } = subscription;
    const connection = (subscription.connection = this._connection);
    try {
      await this._session.ask("subscribe", { device, feed, cursor });
    } catch (error) {
      // A broken connection is no news: the next one asks again.
      if (this._session.online && connection === this._connection) subscription.failed(/** @type {Error} */ (error));
    }
  }

  /** @param {FeedMessage} message */
  receive({ device, feed, cursor, data, lost, history }) {
    const subscription = this._all.get(key(device, feed));
    if (!subscription) return;
    const note = { lost: lost || 0, history: history ?? subscription.cursor === null };
    subscription.cursor = cursor;
    const handled = hand(subscription, data instanceof ArrayBuffer ? new Uint8Array(data) : data, note);
    const { connection } = subscription;
    subscription.done = subscription.done
      .then(() => handled)
      .then(() => {
        if (connection === this._connection) this._session.tell("ack", { device, feed, cursor });
      });
  }
}

/** Give data to the listener; what it throws is shown at the device and does not stop the feed. @param {Subscription} subscription @param {any} data @param {FeedNote} note */
async function hand(subscription, data, note) {
  try {
    await subscription.listener(data, note);
  } catch (error) {
    console.error(error);
    subscription.failed(/** @type {Error} */ (error));
  }
}

/** @param {string} device @param {string} feed */
function key(device, feed) {
  return `${device}\n${feed}`;
}
