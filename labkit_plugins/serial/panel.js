/**
 * The panel of a serial device: a terminal, what one does to a board, and what one does with its text. labkit serves
 * this module and calls `mount`; docs/reference/panels.md has the contract.
 *
 * Keys go to the device in their order, one call at a time, and are dropped (and the page says so) where it can't take
 * them: typed text must never reach a board later than its writer believes.
 */

const SCROLLBACK = 5_000; // lines
const CHUNK = 256; // bytes in one call, so that a paste never holds the device for long
const PASTE_LINES = 5; // a paste of more lines is asked about
const SHOW_PROGRESS_ABOVE = 2 * CHUNK;
const ENTER = { cr: "\r", lf: "\n", crlf: "\r\n" };
const DARK = window.matchMedia("(prefers-color-scheme: dark)");

const STYLE = `
.serial { --screen: #fbfcfd; flex: 1; display: flex; flex-direction: column; gap: .6rem; }
@media (prefers-color-scheme: dark) { .serial { --screen: #0c1014; } }
.serial-screen { flex: 1; position: relative; min-height: clamp(16rem, 52vh, 36rem);
  border: 1px solid var(--line); border-radius: 8px; background: var(--screen); overflow: hidden; }
.serial-screen:focus-within { outline: 2px solid var(--accent); outline-offset: 1px; }
.serial[data-usable="false"] .serial-screen { border-style: dashed; border-color: var(--edge); }
.serial-host { position: absolute; inset: .6rem 0 .6rem .7rem; }
.serial-options { position: relative; }
.serial-options > summary { list-style: none; }
.serial-options > summary::-webkit-details-marker { display: none; }
.serial-sheet { position: absolute; right: 0; z-index: 2; display: grid; gap: .9rem; width: min(19rem, 80vw); margin-top: .3rem; padding: 1rem;
  border: 1px solid var(--line); border-radius: var(--round); background: var(--surface); box-shadow: 0 12px 32px rgb(10 20 40 / 22%); }
.serial-foot { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem 1rem; }
.serial-ask { padding: .5rem .8rem; border-radius: 7px; background: var(--warn-ground); color: var(--warn); font-size: .875rem; }
.serial-keys { display: none; }
@media (pointer: coarse) { .serial-keys { display: flex; } .serial-keys button { flex: 1; padding-inline: .3rem; } .serial-leave { display: none; } }
@media (max-width: 699px) { .serial-host { left: .4rem; } .serial-bar { display: grid; grid-template-columns: repeat(3, 1fr); }
  .serial-bar .push { display: none; } .serial-bar :is(button, .button) { width: 100%; padding-inline: .2rem; } }
`;

const LIGHT_THEME = { background: "#fbfcfd", foreground: "#1b2430", cursor: "#1d5fc4", selectionBackground: "#bcd4f7",
  scrollbarSliderBackground: "#838da04d", scrollbarSliderHoverBackground: "#838da080", scrollbarSliderActiveBackground: "#838da0b3" };
const DARK_THEME = { background: "#0c1014", foreground: "#dfe5ec", cursor: "#86b3ff", selectionBackground: "#2b4a78",
  green: "#6cc98d", red: "#ff8a80", scrollbarSliderBackground: "#66738a59", scrollbarSliderHoverBackground: "#66738a8c", scrollbarSliderActiveBackground: "#66738abf" };

/**
 * Put a terminal for `device` into `element`. The terminal is at `element.terminal` for scripts of a lab and for tests.
 * @param {HTMLElement & {terminal?: any}} element @param {any} device
 */
export default async function mount(element, device) {
  const modules = ["vendor/xterm.mjs", "vendor/addon-fit.mjs", "transcript.js", "clipboard.js"];
  const [{ Terminal }, { FitAddon }, { Transcript }, { copyText }] = await Promise.all([
    ...modules.map((module) => import(device.assets + module)),
    addStyle(`${device.assets}vendor/xterm.css`),
  ]);
  const panel = build(element, device);
  const terminal = (element.terminal = makeTerminal(Terminal));
  const options = new Options(device.name, panel, terminal);
  const sender = new Sender(device, (left) => showProgress(panel, left));
  const transcript = new Transcript();

  const type = (/** @type {string} */ text) => {
    if (!device.usable) return device.say(`${device.hindrance} What you type is not sent.`);
    const sent = text.replaceAll("\r", ENTER[options.enter]);
    if (options.echo) terminal.write(text.replaceAll("\r", "\r\n").replaceAll("\x7f", "\b \b"));
    sender.send(new TextEncoder().encode(sent));
  };
  show(terminal, FitAddon, panel.host);
  terminal.textarea.setAttribute("aria-label", `Terminal of ${device.title}`);
  terminal.textarea.setAttribute("aria-describedby", panel.hint);
  terminal.onData(type);
  terminal.onBinary((/** @type {string} */ text) => device.usable && sender.send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
  receive(device, terminal, transcript);
  guardKeys(terminal, copyText);
  guardPaste(panel, terminal, device);
  wireBar(panel, device, sender);
  wireText(panel, device, terminal, transcript, copyText);
  for (const key of panel.keys.children) key.addEventListener("click", () => (type(key.dataset.keys), terminal.focus()));
  const update = () => (element.dataset.usable = String(device.usable));
  device.addEventListener("change", update);
  update();
}

/** Collects what is typed while a call is under way and sends it with the next: in order, nothing twice. */
class Sender {
  /** @param {any} device @param {(left: number) => void} progress */
  constructor(device, progress) {
    this._device = device;
    this._progress = progress;
    this._waiting = new Uint8Array(0);
    this._busy = false;
  }

  /** @param {Uint8Array} bytes */
  send(bytes) {
    this._waiting = join(this._waiting, bytes);
    if (!this._busy) this._pump();
  }

  /** Forget what has not been sent yet. @returns {number} how many bytes that was */
  stop() {
    const left = this._waiting.length;
    this._waiting = new Uint8Array(0);
    return left;
  }

  async _pump() {
    this._busy = true;
    while (this._waiting.length) {
      const part = this._waiting.slice(0, CHUNK);
      this._waiting = this._waiting.subarray(CHUNK);
      this._progress(this._waiting.length);
      try {
        await this._device.call("write", [part]);
      } catch (error) {
        this._failed(error, this.stop());
      }
    }
    this._progress(0);
    this._busy = false;
  }

  /** @param {any} error @param {number} dropped */
  _failed(error, dropped) {
    const rest = dropped ? ` ${count(dropped)} that waited behind it were not sent.` : "";
    this._device.say(sentence(error) + rest);
  }
}

/** What the student has chosen for this device; kept in this browser. */
class Options {
  /** @param {string} device @param {any} panel @param {any} terminal */
  constructor(device, panel, terminal) {
    this._place = `labkit.serial.${device}`;
    this._panel = panel;
    this._terminal = terminal;
    const { enter, echo, newline, reader } = this._kept();
    if (enter in ENTER) panel.enter.value = enter;
    [panel.echo.checked, panel.newline.checked, panel.reader.checked] = [!!echo, !!newline, !!reader];
    panel.sheet.addEventListener("change", () => this._changed());
    closeWhenLeft(panel.sheet.closest("details"));
    this._changed();
  }

  /** @returns {keyof typeof ENTER} */
  get enter() {
    return this._panel.enter.value;
  }

  get echo() {
    return this._panel.echo.checked;
  }

  _kept() {
    try {
      return JSON.parse(localStorage.getItem(this._place) ?? "{}");
    } catch {
      return {}; // a browser that keeps nothing for this page
    }
  }

  _changed() {
    const { newline, reader } = this._panel;
    this._terminal.options.convertEol = newline.checked;
    this._terminal.options.screenReaderMode = reader.checked;
    const kept = { enter: this.enter, echo: this.echo, newline: newline.checked, reader: reader.checked };
    try {
      localStorage.setItem(this._place, JSON.stringify(kept));
    } catch {
      // nothing is kept then
    }
  }
}

/** Close it when the focus goes elsewhere, and by Esc. @param {HTMLDetailsElement} details */
function closeWhenLeft(details) {
  details.addEventListener("focusout", ({ relatedTarget }) => {
    if (!details.contains(/** @type {Node | null} */ (relatedTarget))) details.open = false;
  });
  details.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    details.open = false;
    details.querySelector("summary")?.focus();
  });
}

/** @param {any} Terminal */
function makeTerminal(Terminal) {
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
  DARK.addEventListener("change", () => (terminal.options.theme = DARK.matches ? DARK_THEME : LIGHT_THEME));
  return terminal;
}

/** @param {any} terminal @param {any} FitAddon @param {HTMLElement} host */
function show(terminal, FitAddon, host) {
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(host);
  if (document.activeElement === document.body && document.querySelectorAll("[data-device]").length === 1) terminal.focus();
  new ResizeObserver(() => host.clientWidth > 0 && fit.fit()).observe(host);
}

/**
 * Show what the device says. Text from before this page was there is not answered: a terminal that is asked where its
 * cursor is would otherwise type into the board after each reload.
 * @param {any} device @param {any} terminal @param {any} transcript
 */
function receive(device, terminal, transcript) {
  let replaying = false;
  const swallow = () => replaying;
  const questions = [{ final: "c" }, { prefix: ">", final: "c" }, { final: "n" }, { prefix: "?", final: "n" }];
  for (const question of questions) terminal.parser.registerCsiHandler(question, swallow);
  device.subscribe("received", (/** @type {Uint8Array} */ data, /** @type {{lost: number, history: boolean}} */ { lost, history }) => {
    if (lost) {
      terminal.write(`\x18\r\n\x1b[2m${gap(lost)}\x1b[22m\r\n`); // \x18 ends what the lost bytes left half said
      transcript.note(gap(lost));
    }
    transcript.add(data);
    if (!history) return new Promise((done) => terminal.write(data, done));
    terminal.write("", () => (replaying = true));
    return new Promise((done) => terminal.write(data, () => ((replaying = false), done(undefined))));
  });
}

/** The line that stands for bytes that did not come. @param {number} lost */
function gap(lost) {
  return `… ${lost > 0 ? `${count(lost)} ${lost === 1 ? "was" : "were"} dropped` : "some bytes were dropped"} …`;
}

/** Esc and then Tab leaves the terminal; Ctrl+Shift+C copies. @param {any} terminal @param {any} copyText */
function guardKeys(terminal, copyText) {
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

/** Ask before many lines are pasted: a board runs each of them. @param {any} panel @param {any} terminal @param {any} device */
function guardPaste(panel, terminal, device) {
  let text = "";
  const close = () => {
    panel.ask.hidden = true;
    terminal.focus();
  };
  panel.host.addEventListener(
    "paste",
    (/** @type {ClipboardEvent} */ event) => {
      text = event.clipboardData?.getData("text/plain") ?? "";
      const lines = text.split(/\r\n|\r|\n/).length;
      if (lines <= PASTE_LINES || !device.usable) return;
      event.preventDefault();
      event.stopPropagation();
      panel.question.textContent = `Paste ${lines} lines (${count(new TextEncoder().encode(text).length)}) into the terminal?`;
      panel.ask.hidden = false;
      panel.paste.focus();
    },
    { capture: true },
  );
  panel.paste.addEventListener("click", () => (close(), terminal.paste(text)));
  panel.cancel.addEventListener("click", close);
}

/** What one does to the board. @param {any} panel @param {any} device @param {Sender} sender */
function wireBar(panel, device, sender) {
  const run = async (/** @type {string} */ command, /** @type {string} */ done) => {
    try {
      await device.call(command);
      device.say(done, { tone: "info" });
    } catch (error) {
      device.say(sentence(error));
    }
  };
  panel.reset.addEventListener("click", () => run("reset", "The board has been reset."));
  panel.break.addEventListener("click", () => run("send_break", "A break has been sent."));
  panel.stop.addEventListener("click", () => device.say(`${count(sender.stop())} were not sent.`, { tone: "info" }));
  const update = () => (panel.reset.disabled = panel.break.disabled = !device.usable);
  device.addEventListener("change", update);
  update();
}

/** What one does with its text. @param {any} panel @param {any} device @param {any} terminal @param {any} transcript @param {any} copyText */
function wireText(panel, device, terminal, transcript, copyText) {
  panel.clear.addEventListener("click", () => (terminal.clear(), terminal.focus()));
  panel.download.addEventListener("click", () => transcript.save(device.name));
  panel.copy.addEventListener("click", async () => {
    const done = await copyText(textOf(terminal));
    device.say(done ? "The whole text has been copied." : "This browser does not let the page copy. Select the text and copy it.", { tone: "info" });
  });
}

/** Everything that the terminal holds, wrapped lines joined. @param {any} terminal */
function textOf(terminal) {
  const { active } = terminal.buffer;
  let text = "";
  for (let row = 0; row < active.length; row += 1) {
    const line = active.getLine(row);
    const goesOn = active.getLine(row + 1)?.isWrapped ?? false;
    text += line.translateToString(!goesOn) + (goesOn ? "" : "\n");
  }
  return `${text.trimEnd()}\n`;
}

/** @param {any} panel @param {number} left */
function showProgress(panel, left) {
  if (left > SHOW_PROGRESS_ABOVE) panel.sending.hidden = false;
  else if (left === 0) panel.sending.hidden = true;
  panel.left.textContent = `Sending, ${count(left)} left`;
}

/** The panel's pieces by name. @param {HTMLElement} element @param {any} device */
function build(element, device) {
  element.classList.add("serial");
  const hint = `leave-${device.name.replace(/[^\w-]/g, "-")}`;
  element.innerHTML = `
    <div class="serial-bar bar" role="group" aria-label="Board and text">
      <button type="button" data-testid="reset">Reset board</button><button type="button" data-testid="break">Send break</button>
      <span class="push"></span>
      <button type="button" data-testid="copy">Copy all</button><button type="button" data-testid="download">Download log</button>
      <button type="button" data-testid="clear">Clear</button>
      <details class="serial-options"><summary class="button" data-testid="options">Options</summary>
        <div class="serial-sheet" tabindex="-1">
          <label class="field">The Enter key sends <select data-testid="enter"><option value="cr">CR (most boards)</option>
            <option value="lf">LF</option><option value="crlf">CR and LF</option></select></label>
          <label class="field row"><input type="checkbox" data-testid="echo"> Show what I type (local echo)</label>
          <label class="field row"><input type="checkbox" data-testid="newline"> LF alone begins a new line</label>
          <label class="field row"><input type="checkbox" data-testid="reader"> Read output to my screen reader</label>
        </div></details>
    </div>
    <div class="serial-ask bar" role="alert" hidden><span data-testid="question"></span>
      <button type="button" data-testid="paste">Paste</button><button type="button" data-testid="cancel">Cancel</button></div>
    <div class="serial-screen"><div class="serial-host"></div></div>
    <div class="serial-keys bar" aria-label="Keys" role="group"></div>
    <div class="serial-foot aside"><span class="serial-leave" id="${hint}">Press <kbd>Esc</kbd>, then <kbd>Tab</kbd> to leave the terminal.</span>
      <span data-testid="sending" hidden><span data-testid="left"></span> <button type="button" data-testid="stop">Stop</button></span></div>`;
  /** @type {Record<string, any>} */
  const panel = {};
  for (const part of element.querySelectorAll("[data-testid]")) panel[/** @type {HTMLElement} */ (part).dataset.testid ?? ""] = part;
  const find = (/** @type {string} */ name) => element.querySelector(`.serial-${name}`);
  Object.assign(panel, { host: find("host"), sheet: find("sheet"), ask: find("ask"), keys: find("keys") });
  panel.reset.hidden = !("reset" in device.commands);
  panel.break.hidden = !("send_break" in device.commands);
  panel.hint = hint;
  addKeys(panel.keys);
  return panel;
}

/** The keys that a touch keyboard lacks. @param {HTMLElement} place */
function addKeys(place) {
  const keys = { Esc: "\x1b", Tab: "\t", "Ctrl+C": "\x03", "↑": "\x1b[A", "↓": "\x1b[B", "←": "\x1b[D", "→": "\x1b[C" };
  for (const [name, text] of Object.entries(keys)) {
    const key = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    key.dataset.keys = text;
    place.append(key);
  }
}

/** Add xterm's style sheet and the panel's own to the page, once. @param {string} address */
async function addStyle(address) {
  if (document.querySelector(`link[href="${address}"]`)) return;
  const own = new CSSStyleSheet();
  own.replaceSync(STYLE);
  document.adoptedStyleSheets.push(own);
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: address });
  const loaded = new Promise((done) => (link.onload = link.onerror = done));
  document.head.append(link);
  await loaded;
}

/** @param {any} error */
function sentence(error) {
  return error.kind === "DeviceBusyError" ? "The device is busy with another call: this was not done." : error.message;
}

/** @param {number} bytes */
function count(bytes) {
  return `${bytes.toLocaleString("en")} byte${bytes === 1 ? "" : "s"}`;
}

/** @param {Uint8Array} first @param {Uint8Array} second */
function join(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
