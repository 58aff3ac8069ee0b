/**
 * The feeds that the page listens to: each is resumed where it stopped after a broken connection, and acknowledged when
 * its listener is done with the data. Of a feed of frames only the newest is sent. Used by session.js and device.js.
 */

/** @import { FeedMessage, FrameMessage } from "./types.js" */
/** @import { Session } from "./session.js" */

/**
 * lost: bytes that were dropped before this data, -1 for an unknown number. history: kept from before the page was
 * there (so a terminal must not answer it). A frame has neither.
 * @typedef {{lost: number, history: boolean}} FeedNote
 * @typedef {(data: any, note: FeedNote) => void | Promise<void>} FeedListener
 *
 * One picture. captured: seconds since 1970 by the lab's clock.
 * @typedef {{jpeg: Uint8Array, captured: number, width: number, height: number}} Frame
 */

const ACK_BYTES = 32 * 1024; // so many at once; the server lets 128 kB be on their way
const ASK_AGAIN = 2000; // milliseconds after which a feed that was refused for the moment is asked for again
const MOMENTARY = ["StoreUnavailableError", "TooManyEvents", "InternalError"];
const ACK_AFTER = 100; // milliseconds after which what is less is acknowledged, too

class Subscription {
  /** @param {string} device @param {string} feed @param {FeedListener} listener @param {(error: Error | null) => void} failed */
  constructor(device, feed, listener, failed) {
    this.device = device;
    this.feed = feed;
    this.listener = listener;
    this.failed = failed;
    /** @type {string | null} where to resume: behind the last data that this page has */
    this.cursor = null;
    /** Number of the last frame that came. */
    this.frame = 0;
    this.connection = 0;
    this.refused = false;
    /** Bytes that the listener is done with, and the server was not told of; `shown` is the cursor behind them. */
    this.owed = 0;
    this.shown = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
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
   * Listen to a feed. Errors: one that has a listener already. failed: is told why a feed does not come, null when it
   * comes after all.
   * @param {string} device @param {string} feed @param {FeedListener} listener @param {(error: Error | null) => void} failed
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
      clearTimeout(subscription.timer);
      this._session.tell("unsubscribe", { device, feed });
      if (subscription.frame) this._session.tell("ack", { device, feed, id: subscription.frame });
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
      if (subscription.refused && this._has(subscription)) subscription.failed(null);
      subscription.refused = false;
    } catch (error) {
      // A broken connection is no news: the next one asks again.
      if (!this._session.online || connection !== this._connection || !this._has(subscription)) return;
      subscription.refused = true;
      subscription.failed(/** @type {Error} */ (error));
      if (MOMENTARY.includes(/** @type {any} */ (error).kind)) {
        const still = () => this._session.online && connection === this._connection && this._has(subscription);
        setTimeout(() => still() && this._ask(subscription), ASK_AGAIN);
      }
    }
  }

  /** Whether it is listened to still. @param {Subscription} subscription */
  _has(subscription) {
    return this._all.get(key(subscription.device, subscription.feed)) === subscription;
  }

  /** @param {FeedMessage} message */
  receive({ device, feed, cursor, data, lost, history }) {
    const subscription = this._all.get(key(device, feed));
    if (!subscription) return;
    const note = { lost: lost || 0, history: history ?? subscription.cursor === null };
    subscription.cursor = cursor;
    const size = data instanceof ArrayBuffer ? data.byteLength : 0;
    const handled = hand(subscription, data instanceof ArrayBuffer ? new Uint8Array(data) : data, note);
    const { connection } = subscription;
    subscription.done = subscription.done
      .then(() => handled)
      .then(() => {
        if (connection === this._connection) this._owe(subscription, cursor, size);
      });
  }

  /** The listener is done with data: tell the server, much of it at once, little of it soon and together. @param {Subscription} subscription @param {string} cursor @param {number} size */
  _owe(subscription, cursor, size) {
    subscription.shown = cursor;
    subscription.owed += size;
    if (subscription.owed >= ACK_BYTES) this._acknowledge(subscription);
    else subscription.timer ??= setTimeout(() => this._acknowledge(subscription), ACK_AFTER);
  }

  /** @param {Subscription} subscription */
  _acknowledge(subscription) {
    const { device, feed, shown } = subscription;
    clearTimeout(subscription.timer);
    subscription.timer = undefined;
    subscription.owed = 0;
    this._session.tell("ack", { device, feed, cursor: shown });
  }

  /** One frame after another, as fast as the listener can show them. @param {FrameMessage} message */
  receiveFrame({ device, feed, id, captured, width, height, data }) {
    const name = key(device, feed);
    const subscription = this._all.get(name);
    const connection = this._connection;
    const acknowledge = () => connection === this._connection && this._session.tell("ack", { device, feed, id });
    if (!subscription) {
      acknowledge(); // it was on its way when the page stopped listening; the next listener's frames wait for this
      return;
    }
    subscription.frame = id;
    const frame = { jpeg: new Uint8Array(data), captured, width, height };
    subscription.done = subscription.done
      .then(() => (this._all.get(name) === subscription ? hand(subscription, frame, { lost: 0, history: false }) : undefined))
      .then(acknowledge);
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
