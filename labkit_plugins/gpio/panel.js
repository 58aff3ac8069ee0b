/**
 * The panel of a GPIO device: a switch and a Pulse button for each output, a lamp for each input. labkit serves this
 * module and calls `mount`; docs/reference/panels.md has the contract.
 *
 * What it shows is what the device has confirmed, never what was asked for: a switch waits for the answer, and a call
 * that is refused leaves it where it was.
 */

const STYLE = `
.gpio { display: grid; gap: 1rem; }
.gpio-group { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: .5rem; min-width: 0; margin: 0; padding: 0; border: 0; }
.gpio-group > legend { padding: 0; margin-bottom: .4rem; color: var(--quiet); font-size: .8125rem; font-weight: 600; }
.gpio-line { display: flex; align-items: center; gap: .6rem; min-width: 0; min-height: 3rem; padding: .3rem .75rem;
  border: 1px solid var(--line); border-radius: 8px; background: var(--sunken); }
.gpio-name { flex: 1; min-width: 0; overflow: hidden; font: .875rem var(--mono); text-overflow: ellipsis; white-space: nowrap; }
.gpio-switch { position: relative; flex: none; width: 3rem; min-width: 0; min-height: 0; height: 1.75rem; padding: 0;
  border: 2px solid var(--edge); border-radius: 1rem; background: var(--surface); }
.gpio-switch::after { content: ""; position: absolute; top: 50%; left: .2rem; width: 1.1rem; height: 1.1rem;
  border-radius: 50%; background: var(--edge); transform: translateY(-50%); }
.gpio-switch[aria-checked="true"] { border-color: var(--accent); background: var(--accent); }
.gpio-switch[aria-checked="true"]::after { left: 1.45rem; background: var(--on-accent); }
.gpio-switch[aria-busy="true"] { border-style: dashed; }
.gpio-switch[aria-busy="true"]::after { left: .825rem; }
.gpio-switch[aria-busy="true"][aria-checked="true"] { border-color: var(--on-accent); }
.gpio-switch:active { transform: none; }
.gpio-state { flex: none; width: 1.75rem; color: var(--quiet); font-size: .8125rem; font-variant-numeric: tabular-nums; }
.gpio-lamp { display: inline-flex; align-items: center; gap: .45rem; padding: .1rem .6rem; border-radius: 1rem; font-size: .8125rem; font-weight: 600; color: var(--quiet); }
.gpio-lamp::before { content: ""; width: .7rem; height: .7rem; border: 2px solid var(--edge); border-radius: 50%; }
.gpio-lamp[data-level="1"] { background: var(--good-ground); color: var(--good); }
.gpio-lamp[data-level="1"]::before { border-color: var(--good); background: var(--good); }
.gpio[data-usable="false"] :is(.gpio-state, .gpio-lamp) { opacity: .65; }
.gpio[data-usable="false"] .gpio-line { border-style: dashed; border-color: var(--edge); }
@media (pointer: coarse) { .gpio-line { min-height: 3.5rem; } .gpio-switch { width: 3.5rem; height: 2.25rem; border-radius: 1.25rem; }
  .gpio-switch::after { width: 1.5rem; height: 1.5rem; } .gpio-switch[aria-checked="true"]::after { left: 1.55rem; } }
@media (prefers-reduced-motion: no-preference) { .gpio-switch, .gpio-switch::after { transition: left .12s, background-color .12s, border-color .12s; } }
@media (forced-colors: active) { .gpio-switch[aria-checked="true"] { background: Highlight; } .gpio-switch::after { background: ButtonText; } .gpio-lamp { border: 1px solid; } }
`;

/** Milliseconds after which the lines are asked for again, where there is nothing to show yet. */
const RETRY = 2000;

/** @typedef {{line: number, direction: "in" | "out", level: 0 | 1}} Line */
/** @typedef {{show: (level: number) => void, update: () => void}} Row */

/**
 * Put switches and lamps for the lines of `device` into `element`.
 * @param {HTMLElement} element @param {any} device
 */
export default function mount(element, device) {
  addStyle();
  element.classList.add("gpio");
  const lines = new Lines(element, device);
  device.subscribe("levels", (/** @type {Record<string, number>} */ levels, /** @type {any} */ { history }) => lines.hear(levels, history));
  device.addEventListener("change", () => lines.update());
  lines.update();
}

/** The rows of a device, made when the device has said what lines it has. */
class Lines {
  /** @param {HTMLElement} element @param {any} device */
  constructor(element, device) {
    this._element = element;
    this._device = device;
    /** @type {Record<string, Row>} */
    this._rows = {};
    this._usable = false;
    this._asked = 0;
    this._said = "";
    /** @type {Record<string, number>} heard since the lines were asked for: newer than the answer */
    this._heard = {};
  }

  /** Show levels that the feed gave. @param {Record<string, number>} levels @param {boolean} history */
  hear(levels, history) {
    if (history) return; // what is now, the device is asked for
    Object.assign(this._heard, levels);
    this._show(levels);
  }

  /** The device can be used, or not any more. While it was away its lines may have changed, so they are asked for anew. */
  update() {
    const { usable } = this._device;
    this._element.dataset.usable = String(usable);
    const begins = usable && !this._usable;
    this._usable = usable;
    for (const row of Object.values(this._rows)) row.update();
    if (!this._element.childElementCount) this._element.append(aside("The lines are shown when the device can be reached."));
    if (begins) this._ask();
  }

  /** Ask for the lines and show them. While there are none it asks again: the device may be busy just now. */
  async _ask() {
    const asked = ++this._asked;
    this._heard = {};
    try {
      const lines = /** @type {Record<string, Line>} */ (await this._device.call("lines"));
      this._said = "";
      if (asked !== this._asked) return; // asked anew meanwhile
      this._build(lines);
      const levels = Object.fromEntries(Object.entries(lines).map(([name, { level }]) => [name, level]));
      this._show({ ...levels, ...this._heard });
    } catch (error) {
      if (String(error) !== this._said) this._device.say(error); // once, however often it asks
      this._said = String(error);
      setTimeout(() => {
        if (asked === this._asked && this._usable && !Object.keys(this._rows).length) this._ask();
      }, RETRY);
    }
  }

  /** @param {Record<string, Line>} lines */
  _build(lines) {
    const names = Object.keys(lines);
    if (names.join() === Object.keys(this._rows).join()) return;
    this._rows = {};
    this._element.replaceChildren();
    for (const [direction, title, makeRow] of /** @type {const} */ ([["out", "Outputs", makeOutput], ["in", "Inputs", makeInput]])) {
      const group = make("fieldset", { className: "gpio-group" }, make("legend", {}, title));
      for (const name of names.filter((name) => lines[name].direction === direction)) {
        const { element, row } = makeRow(this._device, name);
        group.append(element);
        this._rows[name] = row;
        row.show(lines[name].level);
        row.update();
      }
      if (group.childElementCount > 1) this._element.append(group);
    }
  }

  /** @param {Record<string, number>} levels */
  _show(levels) {
    for (const [name, level] of Object.entries(levels)) this._rows[name]?.show(level);
  }
}

/** A switch that shows what the device confirmed, and a button for a short pulse. @param {any} device @param {string} name */
function makeOutput(device, name) {
  const toggle = make("button", { type: "button", role: "switch", className: "gpio-switch", "aria-label": name, "data-testid": `switch-${name}` });
  const pulse = make("button", { type: "button", "aria-label": `Pulse ${name}`, "data-testid": `pulse-${name}` }, "Pulse");
  const state = make("span", { className: "gpio-state", "aria-hidden": "true" });
  let level = 0;
  let busy = false;
  const show = (/** @type {number} */ confirmed) => {
    level = confirmed;
    toggle.setAttribute("aria-checked", String(level === 1));
    state.textContent = word(level);
  };
  const update = () => {
    toggle.disabled = pulse.disabled = !device.usable;
    toggle.setAttribute("aria-busy", String(busy));
    pulse.setAttribute("aria-disabled", String(busy));
  };
  const run = async (/** @type {() => Promise<void>} */ act) => {
    if (busy) return;
    busy = true;
    update();
    try {
      await act();
    } catch (error) {
      device.say(error);
    }
    busy = false;
    update();
  };
  toggle.addEventListener("click", () => run(async () => show(await device.call("write", [name, 1 - level]))));
  pulse.addEventListener("click", () => run(() => device.call("pulse", [name])));
  return { element: make("div", { className: "gpio-line" }, label(name), state, toggle, pulse), row: { show, update } };
}

/** A lamp that says on or off. @param {any} device @param {string} name */
function makeInput(device, name) {
  const lamp = make("span", { className: "gpio-lamp", "data-testid": `lamp-${name}` });
  const show = (/** @type {number} */ level) => {
    lamp.dataset.level = String(level);
    lamp.textContent = word(level);
  };
  return { element: make("div", { className: "gpio-line" }, label(name), lamp), row: { show, update: () => {} } };
}

/** @param {number} level */
function word(level) {
  return level === 1 ? "on" : "off";
}

/** @param {string} name */
function label(name) {
  return make("span", { className: "gpio-name", title: name }, name);
}

/** @param {string} text */
function aside(text) {
  return make("p", { className: "aside" }, text);
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, any>} properties "data-..." and "aria-..." become attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else Reflect.set(element, name, value);
  }
  element.append(...children);
  return element;
}

/** Add the panel's own style to the page, once. */
function addStyle() {
  if (document.adoptedStyleSheets.some((sheet) => Reflect.get(sheet, "labkitGpio"))) return;
  const own = Object.assign(new CSSStyleSheet(), { labkitGpio: true });
  own.replaceSync(STYLE);
  document.adoptedStyleSheets.push(own);
}
