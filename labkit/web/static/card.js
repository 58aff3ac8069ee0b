/**
 * The card of one device: title, condition, one line of news, and the panel in it. Used by page.js. A panel that fails
 * stays inside of its card: the card says so, and shows the generic panel instead.
 */
import { make } from "./elements.js";
import { mount as mountGeneric } from "./generic.js";
import { conditionSentence } from "./sentences.js";

/** @import { Device } from "./device.js" */

const INFO_STAYS = 6_000; // ms
const ERROR_STAYS = 2_000; // ms at least; then until it is dismissed, or the device does again what it is asked

/**
 * Make the card of a device and put its panel into it.
 * @param {Device} device @param {string | null} panel address of the panel's module
 * @returns {{card: HTMLElement, mounted: Promise<void>}}
 */
export function makeCard(device, panel) {
  const heading = `device-${device.name.replace(/[^\w-]/g, "-")}`;
  const place = make("div", { className: "card-panel" });
  const card = make(
    "section",
    { className: "card", "data-device": device.name, "data-kind": device.kind, "aria-labelledby": heading },
    makeHead(device, heading),
    makeReason(device),
    place,
    makeNotice(device),
  );
  return { card, mounted: mountPanel(device, panel, place) };
}

/** @param {Device} device @param {string} id */
function makeHead(device, id) {
  const badge = make("span", { className: "badge", "data-testid": "condition" });
  const name = make("span", { className: "card-name" }, device.title === device.name ? "" : device.name);
  const update = () => {
    const shown = device.over ? "over" : device.held ? device.condition : "returned";
    badge.dataset.condition = shown;
    badge.textContent = { ok: "Ready", offline: "Offline", faulty: "Faulty", returned: "Given back", over: "Over" }[shown];
  };
  device.addEventListener("change", update);
  update();
  return make("header", { className: "card-head" }, make("h2", { id }, device.title), name, badge);
}

/** Why the device can't be used: read out when it comes up. @param {Device} device */
function makeReason(device) {
  const line = make("p", { role: "status", "data-testid": "reason" });
  const box = make("div", { className: "card-reason" }, line);
  const update = () => {
    const text = explain(device);
    box.hidden = !text;
    if (line.textContent === text && box.dataset.why === device.reason) return;
    line.textContent = text;
    box.dataset.why = device.reason;
    box.replaceChildren(line, ...(device.condition === "ok" ? [] : makeDetails(device.reason)));
  };
  device.addEventListener("change", update);
  update();
  return box;
}

/** What is for who looks after the lab: one click away. @param {string} text */
function makeDetails(text) {
  return text ? [make("details", { className: "card-details" }, make("summary", {}, "Details"), make("p", { "data-testid": "details" }, text))] : [];
}

/** @param {Device} device */
function explain(device) {
  if (device.over) return "";
  if (!device.held) return `The session has given this ${device.noun} back; it does nothing any more.`;
  return conditionSentence(device.condition, device.noun);
}

/** The line that `device.say` writes. @param {Device} device */
function makeNotice(device) {
  const text = make("p", { role: "status", "data-testid": "notice" });
  const dismiss = make("button", { type: "button", "aria-label": "Dismiss" }, "×");
  const body = make("div", {}, text);
  const notice = make("div", { className: "card-notice", hidden: true }, body, dismiss);
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  let since = 0;
  const hide = () => {
    notice.hidden = true;
    text.textContent = "";
  };
  dismiss.addEventListener("click", hide);
  device.say = (said, { tone = "error", stays = false, details = said instanceof Error ? Reflect.get(said, "details") : "" } = {}) => {
    clearTimeout(timer);
    since = Date.now();
    notice.dataset.tone = tone;
    notice.toggleAttribute("data-stays", stays);
    notice.hidden = false;
    const words = said instanceof Error ? said.message : said;
    if (text.textContent !== words) text.textContent = words; // a key held down must not be read out again and again
    if (body.dataset.details !== details) body.replaceChildren(text, ...makeDetails(details));
    body.dataset.details = details;
    if (tone === "info") timer = setTimeout(hide, INFO_STAYS);
  };
  forgiveWhenWell(device, () => {
    if (notice.hidden || notice.dataset.tone === "info" || notice.hasAttribute("data-stays")) return;
    clearTimeout(timer);
    timer = setTimeout(hide, Math.max(0, since + ERROR_STAYS - Date.now()));
  });
  return notice;
}

/** Call `forgive` when a call has ended well, a feed comes after all, or the device can be used again. @param {Device} device @param {() => void} forgive */
function forgiveWhenWell(device, forgive) {
  let usable = device.usable;
  device.addEventListener("called", forgive);
  device.addEventListener("fed", forgive);
  device.addEventListener("change", () => {
    if (device.usable && !usable) forgive();
    usable = device.usable;
  });
}

/** @param {Device} device @param {string | null} panel @param {HTMLElement} place */
async function mountPanel(device, panel, place) {
  const root = make("div", { className: panel ? "panel" : "panel plain" });
  place.replaceChildren(root);
  try {
    const mount = panel ? (await import(panel)).default : mountGeneric;
    await mount(root, device);
  } catch (error) {
    console.error(error);
    if (!panel) throw error;
    const why = /** @type {Error} */ (error).message;
    device.say(`The panel of this device failed (${why}). Here are its plain controls.`, { stays: true });
    device.releaseFeeds();
    await mountPanel(device, null, place);
  }
}
