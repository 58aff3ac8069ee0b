/**
 * The panel of a serial device: a terminal, what one does to a board, and what one does with its text. labkit serves
 * this module and calls `mount`; docs/reference/panels.md has the contract.
 *
 * Keys go to the device in their order, one call at a time, and are dropped (and the page says so) where it can't take
 * them: typed text must never reach a board later than its writer believes.
 */

const CHUNK = 256; // bytes in one call, so that a paste never holds the device for long
const PASTE_LINES = 5; // a paste of more lines is asked about
const SHOW_PROGRESS_ABOVE = 2 * CHUNK;
const ENTER = { cr: "\r", lf: "\n", crlf: "\r\n" };
const HINT_AFTER = 1_200; // ms without a byte; what is kept comes sooner
const HINT = "Nothing from the board yet. Press <kbd>Enter</kbd> to wake it.";

const STYLE = `
.serial { --screen: #fbfcfd; flex: 1; display: flex; flex-direction: column; gap: .6rem; }
@media (prefers-color-scheme: dark) { .serial { --screen: #0c1014; } }
.serial-screen { flex: 1; position: relative; min-height: clamp(16rem, 52vh, 36rem);
  border: 1px solid var(--line); border-radius: 8px; background: var(--screen); overflow: hidden; }
.serial-screen:focus-within { outline: 2px solid var(--accent); outline-offset: 1px; }
.serial[data-usable="false"] .serial-screen { border-style: dashed; border-color: var(--edge); }
.serial-host { position: absolute; inset: .6rem 0 .6rem .7rem; }
.serial-hint { position: absolute; inset: 2.25rem .75rem auto; color: var(--quiet); font-size: .875rem; pointer-events: none; }
.serial-bar :is(button, .button) { padding-inline: .55rem; }
.serial-options { position: relative; margin-left: auto; }
.serial-options > summary { list-style: none; }
.serial-options > summary::-webkit-details-marker { display: none; }
.serial-sheet { position: absolute; right: 0; z-index: 2; display: grid; gap: .9rem; width: min(19rem, 80vw); margin-top: .3rem; padding: 1rem;
  border: 1px solid var(--line); border-radius: var(--round); background: var(--surface); box-shadow: 0 12px 32px rgb(10 20 40 / 22%); }
.serial-foot { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem 1rem; }
.serial-ask { padding: .5rem .8rem; border-radius: 7px; background: var(--warn-ground); color: var(--warn); font-size: .875rem; }
.serial-keys { display: none; }
@media (pointer: coarse) { .serial-keys { display: flex; } .serial-keys button { flex: 1; padding-inline: .3rem; } .serial-leave { display: none; } }
@media (max-width: 699px) { .serial-host { left: .4rem; } .serial-bar { display: grid; grid-template-columns: repeat(3, 1fr); }
  .serial-bar .push { display: none; } .serial-options { margin-left: 0; } .serial-bar :is(button, .button) { width: 100%; padding-inline: .2rem; } }
`;

/**
 * Put a terminal for `device` into `element`. The terminal is at `element.terminal` for scripts of a lab and for tests.
 * @param {HTMLElement & {terminal?: any}} element @param {any} device
 */
export default async function mount(element, device) {
  const modules = ["terminal.js", "transcript.js", "clipboard.js", "sentences.js"].map((name) => import(device.assets + name));
  const [tools, { Transcript }, { copyText }, { cameBack }] = await Promise.all(modules);
  device.noun = "board";
  addStyle();
  const panel = build(element, device);
  const names = { label: `Terminal of ${device.title}`, describedBy: `${panel.leave} ${panel.hint.id}` };
  const terminal = (element.terminal = await tools.openTerminal(panel.host, names));
  const options = new Options(device.name, panel, terminal);
  const sender = new Sender(device, (left) => showProgress(panel, left));
  const transcript = new Transcript();

  const type = (/** @type {string} */ text) => {
    if (!device.usable) return device.say(`${device.hindrance} What you type is not sent.`);
    const sent = text.replaceAll("\r", ENTER[options.enter]);
    if (options.echo) terminal.write(text.replaceAll("\r", "\r\n").replaceAll("\x7f", "\b \b"));
    sender.send(new TextEncoder().encode(sent));
  };
  terminal.onData(type);
  terminal.onBinary((/** @type {string} */ text) => device.usable && sender.send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
  tools.showFeed(device, "received", terminal, { transcript, heard: hintUntilHeard(panel, device) });
  sayWhenBack(device, () => {
    tools.writeAside(terminal, cameBack(device.noun));
    transcript.note(`… ${cameBack(device.noun)} …`);
  });
  guardPaste(panel, terminal, device);
  wireBar(panel, device, sender, () => tools.focusAgain(terminal));
  wireText(panel, device, transcript, { terminal, copyText, ...tools });
  for (const key of panel.keys.children) key.addEventListener("click", () => (type(key.dataset.keys), terminal.focus()));
  const update = () => (element.dataset.usable = String(device.usable));
  device.addEventListener("change", update);
  update();
}

/**
 * Say in an empty terminal that it is not dead, until the board says something.
 * @param {any} panel @param {any} device @returns {() => void} call it when the board has said something
 */
function hintUntilHeard(panel, device) {
  let quiet = false;
  const update = () => (panel.hint.innerHTML = quiet && device.usable ? HINT : "");
  const timer = setTimeout(() => ((quiet = true), update()), HINT_AFTER);
  device.addEventListener("change", update);
  return () => {
    clearTimeout(timer);
    quiet = false;
    update();
  };
}

/** Call `say` when the device is ok again after it was not. @param {any} device @param {() => void} say */
function sayWhenBack(device, say) {
  let before = device.condition;
  device.addEventListener("change", () => {
    const { condition } = device;
    if (condition === "ok" && before !== "ok" && device.held && !device.over) say();
    before = condition;
  });
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
    const rest = dropped ? ` ${bytes(dropped)} that waited behind it were not sent.` : "";
    this._device.say(error.message + rest, { details: error.details });
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

/** How many lines a text has; a newline at its end begins no other one. @param {string} text */
function linesIn(text) {
  return text.replace(/(\r\n|\r|\n)$/, "").split(/\r\n|\r|\n/).length;
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
      const lines = linesIn(text);
      if (lines <= PASTE_LINES || !device.usable) return;
      event.preventDefault();
      event.stopPropagation();
      panel.question.textContent = `Paste ${lines} lines (${bytes(new TextEncoder().encode(text).length)}) into the terminal?`;
      panel.ask.hidden = false;
      panel.paste.focus();
    },
    { capture: true },
  );
  panel.paste.addEventListener("click", () => (close(), terminal.paste(text)));
  panel.cancel.addEventListener("click", close);
}

/** What one does to the board. @param {any} panel @param {any} device @param {Sender} sender @param {() => void} back to the terminal */
function wireBar(panel, device, sender, back) {
  const run = async (/** @type {string} */ command, /** @type {string} */ done) => {
    back(); // before the answer: what is typed then waits its turn
    try {
      await device.call(command);
      device.say(done, { tone: "info" });
    } catch (error) {
      device.say(error);
    }
  };
  panel.reset.addEventListener("click", () => run("reset", "The board has been reset."));
  panel.break.addEventListener("click", () => run("send_break", "A break has been sent."));
  panel.stop.addEventListener("click", () => device.say(`${bytes(sender.stop())} were not sent.`, { tone: "info" }));
  const update = () => (panel.reset.disabled = panel.break.disabled = !device.usable);
  device.addEventListener("change", update);
  update();
}

/** What one does with its text. @param {any} panel @param {any} device @param {any} transcript @param {any} tools */
function wireText(panel, device, transcript, { terminal, copyText, textOf, focusAgain }) {
  panel.clear.addEventListener("click", () => (terminal.clear(), focusAgain(terminal)));
  panel.download.addEventListener("click", () => (transcript.save(device.name), focusAgain(terminal)));
  panel.copy.addEventListener("click", async () => {
    const done = await copyText(textOf(terminal));
    device.say(done ? "The whole text has been copied." : "This browser does not let the page copy. Select the text and copy it.", { tone: "info" });
    focusAgain(terminal);
  });
}

/** @param {any} panel @param {number} left */
function showProgress(panel, left) {
  if (left > SHOW_PROGRESS_ABOVE) panel.sending.hidden = false;
  else if (left === 0) panel.sending.hidden = true;
  panel.left.textContent = `Sending, ${bytes(left)} left`;
}

/** The panel's pieces by name. @param {HTMLElement} element @param {any} device */
function build(element, device) {
  element.classList.add("serial", "fill");
  const own = device.name.replace(/[^\w-]/g, "-");
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
    <div class="serial-screen"><div class="serial-host"></div>
      <p class="serial-hint" id="hint-${own}" data-testid="hint" role="status"></p></div>
    <div class="serial-keys bar" aria-label="Keys" role="group"></div>
    <div class="serial-foot aside"><span class="serial-leave" id="leave-${own}">Press <kbd>Esc</kbd>, then <kbd>Tab</kbd> to leave the terminal.</span>
      <span data-testid="sending" hidden><span data-testid="left"></span> <button type="button" data-testid="stop">Stop</button></span></div>`;
  /** @type {Record<string, any>} */
  const panel = {};
  for (const part of element.querySelectorAll("[data-testid]")) panel[/** @type {HTMLElement} */ (part).dataset.testid ?? ""] = part;
  const find = (/** @type {string} */ name) => element.querySelector(`.serial-${name}`);
  Object.assign(panel, { host: find("host"), sheet: find("sheet"), ask: find("ask"), keys: find("keys") });
  panel.reset.hidden = !("reset" in device.commands);
  panel.break.hidden = !("send_break" in device.commands);
  panel.leave = `leave-${own}`;
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

/** Add the panel's own style to the page, once. */
function addStyle() {
  if (document.adoptedStyleSheets.some((sheet) => Reflect.get(sheet, "labkitSerial"))) return;
  const own = Object.assign(new CSSStyleSheet(), { labkitSerial: true });
  own.replaceSync(STYLE);
  document.adoptedStyleSheets.push(own);
}

/** @param {number} number */
function bytes(number) {
  return `${number.toLocaleString("en")} byte${number === 1 ? "" : "s"}`;
}

/** @param {Uint8Array} first @param {Uint8Array} second */
function join(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
