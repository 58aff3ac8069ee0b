/**
 * The page's half of the socket: connects, polls, calls, and tells what happened. Used by page.js and device.js; feeds
 * are in feeds.js. It shows nothing.
 *
 * Events: "connection" (detail: online), "session" (SessionState), "device" (DeviceNews), "task" (TaskNews), "tasks" (all
 * that run, as TaskNews), "store" (ok), "over" (reason; once).
 */
import { Feeds } from "./feeds.js";
import { io } from "./vendor/socket.io.esm.min.js";

/** @import { Answer, PageData, Refusal, SessionState } from "./types.js" */

const POLL_EVERY = 5_000;
const POLL_PATIENCE = 8_000; // later, with no call under way, means that the connection is dead, whatever TCP believes
const CALL_PATIENCE = 120_000; // the server answers at the call's deadline; this only guards against no answer at all
const AFTER_REFUSAL = 4_000;
const AFTER_DISCONNECT = 1_000;
const REFUSED_FOR_NOW = new Set(["store", "full", "starting"]);

/** A call or a subscription that the server refused; `kind` is the name of the error there. */
export class CallError extends Error {
  /** @param {Refusal} refusal */
  constructor({ kind, message }) {
    super(message);
    this.name = "CallError";
    this.kind = kind;
  }
}

export class Session extends EventTarget {
  /** @param {PageData} page */
  constructor(page) {
    super();
    this.over = false;
    this.feeds = new Feeds(this);
    /** Milliseconds that the last poll took to be answered. */
    this.roundTrip = NaN;
    this._polling = false;
    /** Questions without an answer so far. The server answers one after another, so a poll waits behind a long call. */
    this._asked = 0;
    this._socket = io({
      path: page.urls.socket,
      transports: ["websocket"],
      autoConnect: false,
      timeout: 10_000,
      reconnectionDelay: 400,
      reconnectionDelayMax: 4_000,
    });
    this._listen();
  }

  get online() {
    return this._socket.connected && !this.over;
  }

  /** Connect, and poll as long as the page is open. */
  open() {
    this._socket.connect();
    this._socket.io.on("ping", () => this.poll());
    window.addEventListener("online", () => this._socket.io.engine?.close());
    window.addEventListener("offline", () => this._socket.io.engine?.close());
    document.addEventListener("visibilitychange", () => document.hidden || this.poll());
    everyFiveSeconds(() => this.poll());
  }

  /**
   * Use a command of a device. It runs at most once and is never repeated.
   * @param {string} device @param {string} command @param {any[]} args @param {Record<string, any>} kwargs
   * @returns {Promise<any>} what the command returned; rejects with `CallError`
   */
  async call(device, command, args = [], kwargs = {}) {
    const answer = await this.ask("call", { device, command, args, kwargs });
    return answer.result;
  }

  async logout() {
    await this.ask("logout");
    this.finish("logout");
  }

  /**
   * Send an event and wait for its answer. Rejects with `CallError` where it is refused or the connection breaks.
   * @param {string} event @param {any[]} values @returns {Promise<Answer>}
   */
  async ask(event, ...values) {
    if (!this.online) {
      throw new CallError({ kind: "NotConnected", message: "Not connected to the lab: nothing was sent." });
    }
    let answer;
    this._asked += 1;
    try {
      answer = await this._socket.timeout(CALL_PATIENCE).emitWithAck(event, ...values);
    } catch {
      throw new CallError({
        kind: "ConnectionLost",
        message: "The connection broke before an answer came: it may have been done, or not.",
      });
    } finally {
      this._asked -= 1;
    }
    if (!answer?.ok) {
      throw new CallError(answer?.error ?? { kind: "NoReason", message: "The lab refused this and gave no reason." });
    }
    return answer;
  }

  /** Send an event that has no answer; without a connection it is not kept for later. @param {string} event @param {any} value */
  tell(event, value) {
    if (this.online) this._socket.emit(event, value);
  }

  /** Tell the lab that this page is still here, and learn how much time is left. */
  async poll() {
    if (!this.online || this._polling) return;
    this._polling = true;
    const sent = performance.now();
    try {
      const answer = await this._socket.timeout(POLL_PATIENCE).emitWithAck("poll");
      this.roundTrip = performance.now() - sent;
      this._polled(answer);
    } catch {
      if (this._socket.connected && !this._asked) this._socket.io.engine?.close(); // it connects again by itself
    } finally {
      this._polling = false;
    }
  }

  /** @param {Answer} answer */
  _polled(answer) {
    if (answer?.ok && typeof answer.time_left === "number") {
      this._emit("session", { state: "active", time_left: answer.time_left });
    } else if (answer?.state === "ending" || answer?.state === "expired") {
      this.finish(answer.reason);
    }
    this._emit("connection", this.online);
  }

  _listen() {
    const socket = this._socket;
    socket.on("connect", () => this._connected());
    socket.on("disconnect", (why) => this._disconnected(why));
    socket.on("connect_error", (error) => this._refused(error));
    socket.on("feed", (message) => this.feeds.receive(message));
    socket.on("frame", (message) => this.feeds.receiveFrame(message));
    socket.on("device", (news) => this._emit("device", news));
    socket.on("task", (news) => this._emit("task", news));
    socket.on("store", ({ ok }) => this._emit("store", ok));
    socket.on("session", (state) => this._changed(state));
  }

  _connected() {
    this._emit("connection", true);
    this.feeds.resume();
    this.poll();
  }

  /** @param {string} why */
  _disconnected(why) {
    this._emit("connection", false);
    if (why === "io server disconnect") this._connectLater(AFTER_DISCONNECT); // the library stays away then
  }

  /** @param {Error & {data?: {reason?: string}}} error */
  _refused(error) {
    this._emit("connection", false);
    if (this._socket.active) return; // the server was not reached; the library tries again
    const reason = error.data?.reason;
    if (reason !== undefined && REFUSED_FOR_NOW.has(reason)) this._connectLater(AFTER_REFUSAL);
    else this.finish(reason);
  }

  /** Not all pages of a lab at once. @param {number} longest milliseconds */
  _connectLater(longest) {
    setTimeout(() => this.over || this._socket.connect(), longest * (0.5 + Math.random() / 2));
  }

  /** @param {SessionState} state */
  _changed(state) {
    for (const news of state.devices ?? []) this._emit("device", news);
    if (state.tasks) this._emit("tasks", state.tasks);
    if (state.state === "ending" || state.state === "expired") this.finish(state.reason);
    else this._emit("session", state);
  }

  /** The session is over: nothing is sent any more. Only the first time counts. @param {string} [reason] */
  finish(reason) {
    if (this.over) return;
    this.over = true;
    this._socket.disconnect();
    this._emit("over", reason || "unknown");
  }

  /** @param {string} event @param {any} detail */
  _emit(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }
}

/** Call `act` every five seconds. A worker's clock goes on where a page in the background is slowed down. @param {() => void} act */
function everyFiveSeconds(act) {
  try {
    const ticker = new Worker(new URL("./ticker.js", import.meta.url));
    ticker.onmessage = act;
    ticker.onerror = () => setInterval(act, POLL_EVERY);
    ticker.postMessage(POLL_EVERY);
  } catch {
    setInterval(act, POLL_EVERY);
  }
}
