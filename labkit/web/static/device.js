/**
 * The device as a panel sees it: what `mount(element, device)` is given. Part of the contract of panels, see
 * docs/reference/panels.md. Used by page.js and by every panel; it shows nothing itself.
 *
 * Events: "change": `condition`, `reason`, `usable` or `noun` is another now; "called": a call has ended well; "fed": a
 * feed comes that was refused before.
 */
import { DeviceError, conditionSentence } from "./sentences.js";

/** @import { Condition, DeviceData } from "./types.js" */
/** @import { FeedListener } from "./feeds.js" */
/** @import { Session } from "./session.js" */

/** @typedef {(said: string | Error, options?: {tone?: "error" | "info", stays?: boolean, details?: string}) => void} Say */

export class Device extends EventTarget {
  /** @param {DeviceData} data @param {Session} session @param {string} assets */
  constructor(data, session, assets) {
    super();
    /** Full name, `bench/device`. */
    this.name = data.name;
    this.title = data.title || data.name;
    this.kind = data.kind;
    /** Commands that this page may call: name -> {help, schema}. */
    this.commands = Object.fromEntries(Object.entries(data.commands).filter(([, command]) => command.panel));
    /** Feeds by name: {type: "bytes", "state" or "frames"}. */
    this.feeds = data.feeds;
    /** Address of labkit's static files, ends with a slash. */
    this.assets = assets;
    /** @type {Condition} */
    this.condition = data.condition;
    /** Why it is offline or faulty; else empty. */
    this.reason = data.reason;
    /** @type {boolean} whether the session still holds it */
    this.held = (data.hold ?? "reserved") === "reserved";
    /** Show a line in the device's card; of an error its message, and what it has of `details`. @type {Say} */
    this.say = () => {};
    this._noun = "device";
    this._session = session;
    /** @type {Set<() => void>} */
    this._stops = new Set();
    this._usable = this.usable;
    session.addEventListener("connection", () => this._check());
    session.addEventListener("over", () => this._changed());
    session.addEventListener("device", (event) => this._news(/** @type {CustomEvent} */ (event).detail));
  }

  /** What the page calls it in its sentences; a panel may know a better word: "board". */
  get noun() {
    return this._noun;
  }

  set noun(noun) {
    this._noun = noun;
    this._changed();
  }

  /** Whether a call has a chance now: connected, in condition, held, and the session is not over. */
  get usable() {
    return this._session.online && this.condition === "ok" && this.held;
  }

  /** Whether the session is over. */
  get over() {
    return this._session.over;
  }

  /** Why it is not usable, as a sentence; empty where it is. */
  get hindrance() {
    if (this.over) return "The session is over.";
    if (!this._session.online) return "Not connected to the lab.";
    if (!this.held) return `The session has given this ${this.noun} back.`;
    return conditionSentence(this.condition, this.noun);
  }

  /**
   * Use a command. It runs at most once and is never repeated, also when the connection breaks.
   * @param {string} command @param {any[]} [args] bytes as Uint8Array @param {Record<string, any>} [kwargs]
   * @returns {Promise<any>} what the command returned, bytes as ArrayBuffer; rejects with an error that has `kind`
   *   (its class at the server), `message` (a sentence for students) and `details` (for who looks after the lab)
   */
  async call(command, args = [], kwargs = {}) {
    try {
      const result = await this._session.call(this.name, command, args, kwargs);
      this.dispatchEvent(new Event("called"));
      return result;
    } catch (error) {
      throw new DeviceError(/** @type {Error} */ (error), this.noun);
    }
  }

  /**
   * Listen to a feed: everything of this session that is kept, then what comes. Where the listener returns a promise,
   * the server goes on sending only as far ahead as the page can take.
   * @param {string} feed @param {FeedListener} listener bytes arrive as Uint8Array
   * @returns {() => void} call it to stop
   */
  subscribe(feed, listener) {
    const stop = this._session.feeds.subscribe(this.name, feed, listener, (error) => {
      if (error) this.say(new DeviceError(error, this.noun));
      else this.dispatchEvent(new Event("fed"));
    });
    this._stops.add(stop);
    return () => {
      this._stops.delete(stop);
      stop();
    };
  }

  /** Stop listening to every feed: the panel that did has failed. Used by card.js. */
  releaseFeeds() {
    for (const stop of this._stops) stop();
    this._stops.clear();
  }

  /** @param {{device: string, condition: Condition, reason: string, hold?: string}} news */
  _news(news) {
    if (news.device !== this.name) return;
    this.condition = news.condition;
    this.reason = news.reason || "";
    if (news.hold !== undefined) this.held = news.hold === "reserved";
    this._changed();
  }

  _check() {
    if (this.usable !== this._usable) this._changed();
  }

  _changed() {
    this._usable = this.usable;
    this.dispatchEvent(new Event("change"));
  }
}
