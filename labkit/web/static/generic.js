/**
 * The panel of a device whose kind brings none: a form for each command that the page may call, made from the command's
 * schema, and the last that each feed gave, of a feed of frames its picture. Used by card.js.
 */
import { make, readable } from "./elements.js";
import { showFrames } from "./picture.js";

/** @import { Device } from "./device.js" */
/** @import { Schema } from "./types.js" */

const FEED_KEEPS = 4_000; // characters of a bytes feed that stay readable

/** @param {HTMLElement} element @param {Device} device */
export function mount(element, device) {
  for (const feed of Object.keys(device.feeds)) element.append(makeFeed(device, feed));
  for (const [name, command] of Object.entries(device.commands)) element.append(makeForm(device, name, command));
  if (!element.childElementCount) element.append(make("p", { className: "aside" }, "This device has nothing to show here."));
}

/** @param {Device} device @param {string} feed */
function makeFeed(device, feed) {
  const shown = device.feeds[feed].type === "frames" ? makePicture(device, feed) : makeText(device, feed);
  return make("fieldset", {}, make("legend", {}, readable(feed)), ...makeHelp(device.feeds[feed].help), shown);
}

/** @param {Device} device @param {string} feed */
function makePicture(device, feed) {
  const canvas = make("canvas", { role: "img", "aria-label": `Feed ${feed}: no picture yet`, "data-feed": feed });
  showFrames(device, feed, canvas, ({ width, height }) => {
    canvas.setAttribute("aria-label", `Feed ${feed}: a picture of ${width} × ${height}`);
  });
  return canvas;
}

/** @param {Device} device @param {string} feed */
function makeText(device, feed) {
  const shown = make("pre", { tabIndex: 0, "aria-label": `Feed ${feed}`, "data-feed": feed });
  const decoder = new TextDecoder();
  device.subscribe(feed, (data, { lost }) => {
    if (!(data instanceof Uint8Array)) {
      shown.textContent = typeof data === "string" ? data : JSON.stringify(data, null, 2);
      return;
    }
    const gap = lost ? "\n… some bytes were dropped …\n" : "";
    shown.textContent = (shown.textContent + gap + decoder.decode(data, { stream: true })).slice(-FEED_KEEPS);
    shown.scrollTop = shown.scrollHeight;
  });
  return shown;
}

/** @param {string} [text] */
function makeHelp(text) {
  return text ? [make("p", { className: "aside" }, text)] : [];
}

/** @param {Device} device @param {string} name @param {{help?: string, schema?: Schema}} command */
function makeForm(device, name, { help, schema = {} }) {
  const fields = Object.entries(schema.properties ?? {}).map(([argument, part]) =>
    makeField(argument, part, schema.required?.includes(argument) ?? false),
  );
  const button = make("button", { className: "main" }, readable(name));
  const output = make("output", { className: "aside" });
  const inner = make("fieldset", {}, make("legend", {}, readable(name)), ...makeHelp(help));
  inner.append(...fields.map(({ label }) => label), make("div", { className: "bar" }, button, output));
  const form = make("form", { "data-command": name }, inner);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(device, name, fields, button, output);
  });
  const update = () => (button.disabled = !device.usable);
  device.addEventListener("change", update);
  update();
  return form;
}

/**
 * @param {Device} device @param {string} name @param {{argument: string, read: () => any}[]} fields
 * @param {HTMLButtonElement} button @param {HTMLOutputElement} output
 */
async function submit(device, name, fields, button, output) {
  button.disabled = true;
  output.textContent = "…";
  try {
    const given = fields.map(({ argument, read }) => [argument, read()]).filter(([, value]) => value !== undefined);
    output.textContent = describe(await device.call(name, [], Object.fromEntries(given)));
  } catch (error) {
    output.textContent = "";
    device.say(/** @type {Error} */ (error));
  }
  button.disabled = !device.usable;
}

/** @param {string} argument @param {Schema} given @param {boolean} required */
function makeField(argument, given, required) {
  const schema = given.anyOf?.find(({ type }) => type !== "null") ?? given;
  const title = schema.title ?? given.title ?? readable(argument);
  const { control, value } = makeControl(schema, given.default, required);
  const row = schema.type === "boolean";
  const hint = [schema.description ?? given.description, range(schema)].filter(Boolean).join(" · ");
  const head = make("span", {}, title, ...(hint ? [" ", make("small", { className: "aside" }, hint)] : []));
  const label = make("label", { className: row ? "field row" : "field" }, ...(row ? [control, head] : [head, control]));
  control.setAttribute("name", argument);
  return { argument, label, read: value };
}

/** Which numbers are taken, in words; empty where all are. @param {Schema} schema */
function range({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }) {
  if (minimum !== undefined && maximum !== undefined) return minimum < 0 ? `${minimum} to ${maximum}` : `${minimum}–${maximum}`;
  const low = minimum !== undefined ? `at least ${minimum}` : exclusiveMinimum !== undefined ? `more than ${exclusiveMinimum}` : "";
  const high = maximum !== undefined ? `at most ${maximum}` : exclusiveMaximum !== undefined ? `less than ${exclusiveMaximum}` : "";
  return [low, high].filter(Boolean).join(", ");
}

/**
 * The control for one kind of value, and how to read it; an empty one that is not required is left out of the call.
 * @param {Schema} schema @param {any} preset @param {boolean} required
 * @returns {{control: HTMLElement, value: () => any}}
 */
function makeControl(schema, preset, required) {
  if (schema.enum) return makeChoice(schema.enum, preset);
  if (schema.type === "boolean") {
    const box = make("input", { type: "checkbox", checked: preset === true });
    return { control: box, value: () => box.checked };
  }
  if (schema.type === "integer" || schema.type === "number") {
    const number = make("input", { type: "number", required, step: schema.type === "integer" ? "1" : "any", value: preset ?? "" });
    if (schema.minimum !== undefined) number.min = String(schema.minimum);
    if (schema.maximum !== undefined) number.max = String(schema.maximum);
    return { control: number, value: () => (number.value === "" ? undefined : number.valueAsNumber) };
  }
  if (schema.type === "string") {
    const text = make("input", { type: "text", required: required && schema.format !== "binary", value: preset ?? "", spellcheck: false });
    const bytes = schema.format === "binary";
    return { control: text, value: () => readText(text.value, bytes, required) };
  }
  const json = make("textarea", { required, rows: 2, value: preset == null ? "" : JSON.stringify(preset), placeholder: "JSON" });
  return { control: json, value: () => (json.value.trim() ? JSON.parse(json.value) : undefined) };
}

/** @param {any[]} choices @param {any} preset */
function makeChoice(choices, preset) {
  const options = choices.map((choice) => make("option", { selected: choice === preset }, String(choice)));
  const select = make("select", {}, ...options);
  return { control: select, value: () => choices[select.selectedIndex] };
}

/** @param {string} text @param {boolean} bytes @param {boolean} required */
function readText(text, bytes, required) {
  if (text === "" && !required) return undefined;
  return bytes ? new TextEncoder().encode(text) : text;
}

/** @param {any} result */
function describe(result) {
  if (result === null || result === undefined) return "Done.";
  if (result instanceof ArrayBuffer) return new TextDecoder().decode(result);
  return typeof result === "string" ? result : JSON.stringify(result);
}

