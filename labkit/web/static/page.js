/**
 * The ready page of a session, put together: header, devices, banners and the end. page.html has the pieces, session.js
 * the connection, card.js the devices.
 */
import { makeCard } from "./card.js";
import { Countdown, clock } from "./countdown.js";
import { Device } from "./device.js";
import { localTime } from "./moments.js";
import { Session } from "./session.js";
import { Tasks } from "./tasks.js";

/** @import { PageData, SessionState } from "./types.js" */

const SAY_OFFLINE_AFTER = 2_000;
const OVERDUE_WITHOUT_NEWS = 5_000; // the time is over and no connection says so: then the page says it

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** @param {string} id */
const dataOf = (id) => JSON.parse(byId(id).textContent ?? "");

/** @type {PageData} */
const page = dataOf("page-data");
/** @type {Record<string, [string, string]>} */
const reasons = dataOf("reason-data");
const session = new Session(page);

showDevices();
const countdown = showTime();
showConnection();
showStore();
new Tasks(byId("tasks"), session, announce);
showEnd();
offerLogout();
session.open();
const { state, reason } = page.session;
if (state === "ending" || state === "expired") session.finish(reason);
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

function showDevices() {
  const place = byId("devices");
  place.dataset.count = String(page.devices.length);
  if (!page.devices.length) place.textContent = "This session has no devices.";
  const waiting = page.devices.map((data) => {
    const { card, mounted } = makeCard(new Device(data, session, page.urls.static), data.panel);
    place.append(card);
    return mounted.catch(console.error);
  });
  Promise.all(waiting).then(() => (place.dataset.ready = "true"));
}

function showTime() {
  const timer = byId("timer");
  const [label, time] = /** @type {HTMLElement[]} */ ([...timer.children]);
  const countdown = new Countdown(({ left, level, label: text }) => {
    timer.dataset.level = level;
    label.textContent = text;
    time.textContent = clock(left);
    document.title = `${clock(left)} · ${page.title}`;
    if (left === 0) setTimeout(endWithoutNews, OVERDUE_WITHOUT_NEWS);
  }, announce);
  const endWithoutNews = () => countdown.left === 0 && !session.online && session.finish("time");
  /** @param {SessionState} news */
  const update = ({ time_left, max_date, now, started }) =>
    countdown.set(time_left ?? max_date - now, started === undefined ? undefined : max_date - started);
  session.addEventListener("session", (event) => update(/** @type {CustomEvent} */ (event).detail));
  timer.hidden = page.session.time_left === null;
  update(page.session);
  return countdown;
}

/** Have a screen reader say something now. @param {string} text */
function announce(text) {
  byId("announcer").textContent = text;
}

function showConnection() {
  const [link, banner] = [byId("link"), byId("banner-link")];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let patience;
  const update = () => {
    const text = /** @type {HTMLElement} */ (link.firstElementChild);
    const delay = Math.round(session.roundTrip);
    if (session.online) {
      clearTimeout(patience);
      patience = undefined;
      banner.hidden = true;
      link.dataset.state = "online";
      text.textContent = Number.isNaN(delay) ? "Connected" : `Connected · ${delay} ms`;
    } else {
      patience ??= setTimeout(() => {
        link.dataset.state = "offline";
        text.textContent = "Reconnecting…";
        banner.hidden = false;
        banner.textContent = "Reconnecting to the lab… What you type now is not sent. What your devices say is kept for you.";
      }, SAY_OFFLINE_AFTER);
    }
  };
  session.addEventListener("connection", update);
  session.addEventListener("over", () => {
    clearTimeout(patience);
    banner.hidden = true;
    link.dataset.state = "over";
    link.textContent = "Session over";
    session.removeEventListener("connection", update);
  });
  update();
}

function showStore() {
  const banner = byId("banner-store");
  session.addEventListener("store", (event) => (banner.hidden = /** @type {CustomEvent} */ (event).detail));
  session.addEventListener("over", () => (banner.hidden = true));
}

/** The end stands over the page; closed, it leaves a line, so that what the devices said can be read and copied. */
function showEnd() {
  const dialog = /** @type {HTMLDialogElement} */ (byId("ended"));
  const banner = byId("banner-ended");
  byId("ended-stay").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => (banner.hidden = false));
  session.addEventListener("over", (event) => {
    const why = /** @type {CustomEvent<string>} */ (event).detail;
    const [heading, sentence] = reasons[why] ?? reasons.unknown;
    countdown.stop();
    dialog.dataset.reason = why;
    byId("ended-heading").textContent = heading;
    byId("ended-sentence").textContent = sentence;
    byId("ended-time").textContent = localTime(new Date());
    /** @type {HTMLElement} */ (banner.firstElementChild).textContent = `${heading}.`;
    if (page.back) banner.append(Object.assign(document.createElement("a"), { href: page.back, textContent: "Go back" }));
    byId("timer").hidden = true;
    document.body.dataset.over = why;
    document.title = `Ended · ${page.title}`;
    dialog.showModal();
  });
}

function offerLogout() {
  const button = /** @type {HTMLButtonElement} */ (byId("logout"));
  const update = () => (button.disabled = !session.online);
  session.addEventListener("connection", update);
  session.addEventListener("over", () => (button.hidden = true));
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await session.logout();
    } catch (error) {
      if (session.over) return;
      byId("banner-link").textContent = `You are not logged out. ${/** @type {Error} */ (error).message}`;
      byId("banner-link").hidden = false;
      update();
    }
  });
}
