/**
 * A terminal on a feed of bytes, for any panel: `const { openTerminal, showFeed, textOf } = await import(device.assets +
 * "terminal.js")`. What is typed is the panel's own business: `terminal.onData`.
 */
import { copyText } from "./clipboard.js";
import { openWithStyles } from "./styles.js";
import { FitAddon } from "./vendor/addon-fit.mjs";
import { Terminal } from "./vendor/xterm.mjs";

/** @import { Device } from "./device.js" */
/** @import { Transcript } from "./transcript.js" */

const SCROLLBACK = 5_000; // lines
const DARK = window.matchMedia("(prefers-color-scheme: dark)");
const TOUCH = window.matchMedia("(pointer: coarse)");
const STYLE = new URL("./vendor/xterm.css", import.meta.url).href;

const LIGHT_THEME = { background: "#fbfcfd", foreground: "#1b2430", cursor: "#1d5fc4", selectionBackground: "#bcd4f7",
  scrollbarSliderBackground: "#838da04d", scrollbarSliderHoverBackground: "#838da080", scrollbarSliderActiveBackground: "#838da0b3" };
const DARK_THEME = { background: "#0c1014", foreground: "#dfe5ec", cursor: "#86b3ff", selectionBackground: "#2b4a78",
  green: "#6cc98d", red: "#ff8a80", scrollbarSliderBackground: "#66738a59", scrollbarSliderHoverBackground: "#66738a8c", scrollbarSliderActiveBackground: "#66738abf" };

/**
 * Put a terminal into `host`, as large as that is. Esc and then Tab leaves it; Ctrl+Shift+C copies.
 * @param {HTMLElement} host @param {{label: string, describedBy?: string}} names for a screen reader
 * @returns {Promise<any>} xterm's Terminal
 */
export async function openTerminal(host, { label, describedBy = "" }) {
  await addStyle();
  const terminal = makeTerminal();
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  openWithStyles(terminal, host);
  terminal.textarea.setAttribute("aria-label", label);
  if (describedBy) terminal.textarea.setAttribute("aria-describedby", describedBy);
  guardKeys(terminal);
  if (document.activeElement === document.body && document.querySelectorAll("[data-device]").length === 1) terminal.focus();
  new ResizeObserver(() => host.clientWidth > 0 && fit.fit()).observe(host);
  return terminal;
}

/** Bring the focus back after a button; not where that would bring a touch keyboard up. @param {any} terminal */
export function focusAgain(terminal) {
  if (!TOUCH.matches) terminal.focus();
}

/** A dim line of the page's own, which no device said. @param {any} terminal @param {string} text */
export function writeAside(terminal, text) {
  terminal.write(`\x18\r\n\x1b[2m… ${text} …\x1b[22m\r\n`); // \x18 ends what the device left half said
}

/**
 * Show a feed. Text from before this page was there is not answered: a terminal that is asked where its cursor is, or
 * what its colours are, would otherwise type into the board after each reload.
 * @param {Device} device @param {string} feed @param {any} terminal
 * @param {{transcript: Transcript, heard?: () => void}} more heard: called with all that comes
 */
export function showFeed(device, feed, terminal, { transcript, heard = () => {} }) {
  device.subscribe(feed, (/** @type {Uint8Array} */ data, { lost, history }) => {
    heard();
    if (lost) {
      writeAside(terminal, gap(lost));
      transcript.note(`… ${gap(lost)} …`);
    }
    transcript.add(data);
    if (!history) return new Promise((done) => terminal.write(data, done));
    terminal.write("", () => (terminal.options.disableStdin = true)); // its answers, too
    return new Promise((done) => terminal.write(data, () => ((terminal.options.disableStdin = false), done(undefined))));
  });
}

/** Everything that the terminal holds, wrapped lines joined. @param {any} terminal */
export function textOf(terminal) {
  const { active } = terminal.buffer;
  let text = "";
  for (let row = 0; row < active.length; row += 1) {
    const line = active.getLine(row);
    const goesOn = active.getLine(row + 1)?.isWrapped ?? false;
    text += line.translateToString(!goesOn) + (goesOn ? "" : "\n");
  }
  return `${text.trimEnd()}\n`;
}

/** "1,024 bytes". @param {number} bytes */
function count(bytes) {
  return `${bytes.toLocaleString("en")} byte${bytes === 1 ? "" : "s"}`;
}

/** The line that stands for bytes that did not come. @param {number} lost */
function gap(lost) {
  return lost > 0 ? `${count(lost)} ${lost === 1 ? "was" : "were"} dropped` : "some bytes were dropped";
}

function makeTerminal() {
  const terminal = new Terminal({
    scrollback: SCROLLBACK,
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono") || "monospace",
    fontSize: window.innerWidth < 700 ? 13 : 14,
    lineHeight: 1.25,
    cursorBlink: !window.matchMedia("(prefers-reduced-motion: reduce)").matches,
    cursorInactiveStyle: "outline",
    ignoreBracketedPasteMode: true, // a board gets the text and nothing around it
    minimumContrastRatio: 4.5,
    theme: DARK.matches ? DARK_THEME : LIGHT_THEME,
  });
  terminal.parser.registerOscHandler(8, () => true); // a link that the board has made up could lead anywhere
  DARK.addEventListener("change", () => (terminal.options.theme = DARK.matches ? DARK_THEME : LIGHT_THEME));
  return terminal;
}

/** @param {any} terminal */
function guardKeys(terminal) {
  let escaped = false;
  terminal.attachCustomKeyEventHandler((/** @type {KeyboardEvent} */ event) => {
    if (event.type !== "keydown" || event.key === "Shift") return true;
    if (event.key === "Tab" && escaped) {
      escaped = false;
      return false; // the browser moves the focus
    }
    escaped = event.key === "Escape";
    if (!(event.ctrlKey && event.shiftKey && event.code === "KeyC")) return true;
    event.preventDefault();
    if (terminal.hasSelection()) copyText(terminal.getSelection());
    return false;
  });
}

/** Add xterm's style sheet to the page, once. */
async function addStyle() {
  if (document.querySelector(`link[href="${STYLE}"]`)) return;
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: STYLE });
  const loaded = new Promise((done) => (link.onload = link.onerror = done));
  document.head.append(link);
  await loaded;
}
