/**
 * The panel of a camera: the newest picture, what is wrong where there is none, a snapshot and the full screen. labkit
 * serves this module and calls `mount`; docs/reference/panels.md has the contract.
 *
 * The picture is turned and mirrored by style alone. How old it is can't be told by the two clocks, which differ: the
 * picture that came soonest after its capture is taken for fresh, and others are older by what they came later.
 */

const OLD_AFTER = 3; // seconds; of a camera that gives fewer pictures, two of them
const MIRRORED = { none: "", horizontal: "scaleX(-1)", vertical: "scaleY(-1)" };
const AGAIN_AFTER = 2_000; // ms
const WAITING = "Waiting for the first picture";

const STYLE = `
.camera { display: grid; gap: .6rem; }
.camera-stage { position: relative; container-type: size; width: 100%; aspect-ratio: 16 / 9; max-height: 72vh; overflow: hidden;
  border: 1px solid var(--line); border-radius: 8px; background: #0b0e12; }
.camera-stage:fullscreen { max-height: none; border: 0; border-radius: 0; aspect-ratio: auto; }
.camera-picture { position: absolute; left: 50%; top: 50%; width: 100cqw; height: 100cqh; object-fit: contain; transform: translate(-50%, -50%); }
.camera[data-turned="true"] .camera-picture { width: 100cqh; height: 100cqw; }
.camera[data-signal="false"] .camera-picture { opacity: .3; filter: grayscale(1); }
.camera-signal { position: absolute; inset: 0; display: grid; place-content: center; gap: .25rem; padding: 1rem; text-align: center; color: #e8edf3;
  text-shadow: 0 1px 3px rgb(0 0 0 / 80%); overflow-wrap: anywhere; }
.camera-signal strong { font-size: 1.15rem; }
.camera-signal span { font-size: .875rem; color: #b9c4d2; }
.camera-age { min-height: 1.5em; }
`;

/**
 * Put the picture of `device` into `element`.
 * @param {HTMLElement} element @param {any} device
 */
export default async function mount(element, device) {
  const [{ showFrames }, { conditionSentence }] = await Promise.all(["picture.js", "sentences.js"].map((name) => import(device.assets + name)));
  device.noun = "camera";
  addStyle();
  const panel = build(element, device);
  const view = new View(element, panel);
  const state = new State(element, panel, () => (device.condition === "ok" ? "" : conditionSentence(device.condition, device.noun)));
  const age = new Age(panel.age, view);

  showFrames(device, "frames", panel.picture, (/** @type {any} */ frame) => {
    view.measure(panel.picture.width, panel.picture.height);
    age.came(frame.captured);
    state.came(frame.captured);
  });
  device.subscribe("signal", (/** @type {any} */ signal) => state.heard(signal));

  const learn = once(
    async () => view.follow(await device.call("view")),
    (error) => error.kind === "DeviceBusyError" && setTimeout(update, AGAIN_AFTER), // which changes nothing at the device
  );
  const update = () => {
    panel.snapshot.disabled = !device.usable;
    state.update();
    if (device.usable) learn();
  };
  device.addEventListener("change", update);
  panel.snapshot.addEventListener("click", () => saveSnapshot(panel.snapshot, device, view));
  wireFullScreen(panel, device);
  update();
}

/** How the picture lies in its place: what the declaration says, and the size that it turned out to have. */
class View {
  /** @param {HTMLElement} element @param {any} panel */
  constructor(element, panel) {
    this._element = element;
    this._panel = panel;
    this.rotation = 0;
    this.flip = "none";
    /** Pictures per second that are declared, 0 where that is open. */
    this.rate = 0;
    this._size = [16, 9];
    this._measured = false;
  }

  /** @param {{rotation: number, flip: string, rate: number, size: string}} facts what the command `view` tells */
  follow({ rotation, flip, rate, size }) {
    Object.assign(this, { rotation, flip, rate });
    if (size && !this._measured) this._size = size.split("x").map(Number);
    this._show();
  }

  /** @param {number} width @param {number} height */
  measure(width, height) {
    this._measured = true;
    if (this._size[0] === width && this._size[1] === height) return;
    this._size = [width, height];
    this._show();
  }

  get turned() {
    return this.rotation % 180 !== 0;
  }

  /** Whether it is shown as it was taken. */
  get plain() {
    return this.rotation === 0 && this.flip === "none";
  }

  get mirror() {
    return MIRRORED[/** @type {keyof typeof MIRRORED} */ (this.flip)] ?? "";
  }

  _show() {
    const [width, height] = this._size;
    this._element.dataset.turned = String(this.turned);
    this._panel.stage.style.aspectRatio = this.turned ? `${height} / ${width}` : `${width} / ${height}`;
    this._panel.picture.style.transform = `translate(-50%, -50%) rotate(${this.rotation}deg) ${this.mirror}`;
  }
}

/** What stands over the picture where there is none. */
class State {
  /** @param {HTMLElement} element @param {any} panel @param {() => string} hindrance why the device is not there */
  constructor(element, panel, hindrance) {
    this._element = element;
    this._panel = panel;
    this._hindrance = hindrance;
    /** @type {{signal: boolean, reason: string, since: number} | null} */
    this._signal = null;
    this._captured = 0;
    this._shown = "";
  }

  /** @param {number} captured */
  came(captured) {
    this._captured = captured;
    this.update();
  }

  /** @param {{signal: boolean, reason: string, since: number}} signal */
  heard(signal) {
    this._signal = signal;
    this.update();
  }

  update() {
    const [title, reason] = this._words();
    this._element.dataset.signal = String(!title);
    this._panel.signal.hidden = !title;
    if (this._shown === title + reason) return; // read out once
    this._shown = title + reason;
    this._panel.title.textContent = title;
    this._panel.reason.textContent = reason;
  }

  /** @returns {[string, string]} */
  _words() {
    const away = this._hindrance();
    if (away) return ["No signal", away];
    const lost = this._signal && !this._signal.signal && this._captured <= this._signal.since;
    if (lost && this._signal) return ["No signal", this._signal.reason];
    return this._captured ? ["", ""] : [WAITING, ""];
  }
}

/** Says how old the picture is, when it gets old. */
class Age {
  /** @param {HTMLElement} place @param {View} view */
  constructor(place, view) {
    this._place = place;
    this._view = view;
    this._captured = 0;
    this._soonest = Infinity;
    setInterval(() => this._show(), 1_000);
  }

  /** @param {number} captured */
  came(captured) {
    this._captured = captured;
    this._soonest = Math.min(this._soonest, now() - captured);
    this._show();
  }

  _show() {
    const seconds = now() - this._captured - this._soonest;
    const old = this._captured && seconds >= Math.max(OLD_AFTER, this._view.rate ? 2 / this._view.rate : 0);
    this._place.textContent = old ? `This picture is ${duration(seconds)} old.` : "";
  }
}

const now = () => Date.now() / 1000;

/** @param {number} seconds */
function duration(seconds) {
  const whole = Math.round(seconds);
  return whole < 120 ? `${whole} s` : `${Math.round(whole / 60)} min`;
}

/** Let `work` be done until it has been done well, never twice at the same time. @param {() => Promise<void>} work @param {(error: any) => void} failed */
function once(work, failed) {
  let begun = false;
  return () => {
    if (begun) return;
    begun = true;
    work().catch((error) => {
      begun = false; // the next change of the device tries again
      failed(error);
    });
  };
}

/** Take a picture now and have the browser save it, as it is shown. @param {HTMLButtonElement} button @param {any} device @param {View} view */
async function saveSnapshot(button, device, view) {
  button.disabled = true;
  try {
    const taken = new Blob([await device.call("snapshot")], { type: "image/jpeg" });
    save(view.plain ? taken : await turned(taken, view), device.name);
    device.say("The picture has been saved.", { tone: "info" });
  } catch (error) {
    device.say(error);
  } finally {
    button.disabled = !device.usable;
  }
}

/** The picture as the page shows it. @param {Blob} jpeg @param {View} view @returns {Promise<Blob>} */
async function turned(jpeg, view) {
  const picture = await createImageBitmap(jpeg);
  const { width, height } = picture;
  const canvas = new OffscreenCanvas(view.turned ? height : width, view.turned ? width : height);
  const context = canvas.getContext("2d");
  context?.translate(canvas.width / 2, canvas.height / 2);
  context?.rotate((view.rotation * Math.PI) / 180);
  context?.scale(view.flip === "horizontal" ? -1 : 1, view.flip === "vertical" ? -1 : 1);
  context?.drawImage(picture, -width / 2, -height / 2);
  picture.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
}

/** @param {Blob} picture @param {string} device */
function save(picture, device) {
  const href = URL.createObjectURL(picture);
  const moment = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  const download = `${device.replace(/[^\w-]/g, "-")}-${moment}.jpg`;
  Object.assign(document.createElement("a"), { href, download }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/** @param {any} panel @param {any} device */
function wireFullScreen(panel, device) {
  panel.fullscreen.hidden = !document.fullscreenEnabled;
  panel.fullscreen.addEventListener("click", async () => {
    try {
      await panel.stage.requestFullscreen();
    } catch {
      device.say("This browser does not let the page use the full screen.", { tone: "info" });
    }
  });
}

/** The panel's pieces by name. @param {HTMLElement} element @param {any} device */
function build(element, device) {
  element.classList.add("camera");
  element.dataset.signal = "false";
  element.innerHTML = `
    <div class="camera-stage"><canvas class="camera-picture" role="img" width="16" height="9" data-testid="picture"></canvas>
      <p class="camera-signal" role="status" data-testid="signal"><strong></strong><span></span></p></div>
    <div class="bar" role="group" aria-label="Picture">
      <button type="button" data-testid="snapshot">Snapshot</button>
      <button type="button" data-testid="fullscreen">Full screen</button>
      <span class="camera-age aside push" data-testid="age"></span>
    </div>`;
  /** @type {Record<string, any>} */
  const panel = {};
  for (const part of element.querySelectorAll("[data-testid]")) panel[/** @type {HTMLElement} */ (part).dataset.testid ?? ""] = part;
  panel.stage = element.querySelector(".camera-stage");
  [panel.title, panel.reason] = panel.signal.children;
  panel.picture.setAttribute("aria-label", `Picture of ${device.title}`);
  return panel;
}

/** Add the panel's own style to the page, once. */
function addStyle() {
  if (document.adoptedStyleSheets.some((sheet) => Reflect.get(sheet, "labkitCamera"))) return;
  const own = Object.assign(new CSSStyleSheet(), { labkitCamera: true });
  own.replaceSync(STYLE);
  document.adoptedStyleSheets.push(own);
}
