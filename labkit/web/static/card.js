/**
 * The card of one device: title, condition, one line of news, and the panel in it. Used by page.js. A panel that fails
 * stays inside of its card: the card says so, and shows the generic panel instead.
 */
import { make } from "./elements.js";
import { mount as mountGeneric } from "./generic.js";

/** @import { Device } from "./device.js" */

const INFO_STAYS = 6_000; // ms; an error stays until it is dismissed or followed by another line

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
  const line = make("p", { className: "card-reason", role: "status", "data-testid": "reason" });
  const update = () => {
    const text = explain(device);
    line.hidden = !text;
    if (line.textContent !== text) line.textContent = text;
  };
  device.addEventListener("change", update);
  update();
  return line;
}

/** @param {Device} device */
function explain(device) {
  if (device.over) return "";
  if (!device.held) return "The session has given this device back; it does nothing any more.";
  const why = device.reason ? `: ${device.reason.replace(/\.$/, "")}` : "";
  if (device.condition === "offline") return `This device is not there${why}. It comes back by itself when it can.`;
  if (device.condition === "faulty") return `This device is out of order${why}. Tell the lab's staff; the rest of your bench works on.`;
  return "";
}

/** The line that `device.say` writes. @param {Device} device */
function makeNotice(device) {
  const text = make("p", { role: "status", "data-testid": "notice" });
  const dismiss = make("button", { type: "button", "aria-label": "Dismiss" }, "×");
  const notice = make("div", { className: "card-notice", hidden: true }, text, dismiss);
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  const hide = () => {
    notice.hidden = true;
    text.textContent = "";
  };
  dismiss.addEventListener("click", hide);
  device.say = (said, { tone = "error" } = {}) => {
    clearTimeout(timer);
    notice.dataset.tone = tone;
    notice.hidden = false;
    if (text.textContent !== said) text.textContent = said; // a key held down must not be read out again and again
    if (tone === "info") timer = setTimeout(hide, INFO_STAYS);
  };
  return notice;
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
    device.say(`The panel of this device failed (${/** @type {Error} */ (error).message}). Here are its plain controls.`);
    device.releaseFeeds();
    await mountPanel(device, null, place);
  }
}
