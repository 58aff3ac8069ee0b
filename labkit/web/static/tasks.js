/**
 * What the lab's tasks do for this session: a line for each that says how far it is, with the last lines of its log.
 * A task that shows neither is not shown. Used by page.js.
 */
import { make, readable } from "./elements.js";

/** @import { Session } from "./session.js" */
/** @import { TaskNews } from "./types.js" */

const DONE_STAYS = 1_500; // ms that a bar which is full stays
const FAILED_STAYS = 10_000;
const LOG_KEEPS = 200; // lines

export class Tasks {
  /** @param {HTMLElement} place @param {Session} session @param {(text: string) => void} announce */
  constructor(place, session, announce) {
    this._place = place;
    this._announce = announce;
    /** @type {Map<string, Line>} */
    this._lines = new Map();
    session.addEventListener("task", (event) => this._hear(/** @type {CustomEvent} */ (event).detail));
    session.addEventListener("tasks", (event) => this._replace(/** @type {CustomEvent} */ (event).detail));
    session.addEventListener("over", () => this._replace([]));
  }

  /** @param {TaskNews} news */
  _hear(news) {
    const over = news.status === "done" || news.status === "failed";
    const line = this._lines.get(news.task);
    if (line) line.show(news);
    else if (!over && (news.progress || news.log.length)) this._add(news);
    if (!over) return;
    this._lines.delete(news.task);
    if (line && news.status === "failed") this._announce(`${readable(news.name)} failed.`);
  }

  /** These run, and no others. @param {TaskNews[]} all */
  _replace(all) {
    for (const line of this._lines.values()) line.remove();
    this._lines.clear();
    for (const news of all) this._hear(news);
  }

  /** @param {TaskNews} news */
  _add(news) {
    const line = new Line(news, () => this._tidy());
    this._lines.set(news.task, line);
    this._place.append(line.element);
    line.show(news);
  }

  _tidy() {
    this._place.hidden = ![...this._place.children].some((line) => !(/** @type {HTMLElement} */ (line).hidden));
  }
}

class Line {
  /** @param {TaskNews} news @param {() => void} changed */
  constructor({ name }, changed) {
    this._changed = changed;
    this._bar = make("progress", { max: 1, "aria-label": readable(name) });
    this._part = make("span", { className: "task-part" });
    this._text = make("span", { className: "task-text" });
    this._log = make("pre", { tabIndex: 0, "aria-label": `Log of ${readable(name)}` });
    this._details = make("details", { className: "task-log", hidden: true }, make("summary", {}, "Log"), this._log);
    const head = make("strong", {}, readable(name));
    this.element = make("div", { className: "task", "data-task": name }, head, this._bar, this._part, this._text, this._details);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
  }

  /** @param {TaskNews} news */
  show({ status, progress, log }) {
    clearTimeout(this._timer);
    this.element.hidden = false;
    this._showLog(log);
    this._showPart(progress, log);
    if (status === "failed") this._end("failed", FAILED_STAYS);
    else if (status === "done") this._end("done", DONE_STAYS);
    else if (progress?.part === 1) this._timer = setTimeout(() => this._hide(), DONE_STAYS);
    this._changed();
  }

  remove() {
    clearTimeout(this._timer);
    this.element.remove();
    this._changed();
  }

  /** @param {TaskNews["progress"]} progress @param {string[]} log */
  _showPart(progress, log) {
    this._bar.hidden = this._part.hidden = !progress;
    if (progress) {
      this._bar.value = progress.part;
      this._part.textContent = `${Math.round(progress.part * 100)} %`;
    }
    const text = progress?.text || log.at(-1);
    if (text) this._text.textContent = text;
  }

  /** @param {string[]} log */
  _showLog(log) {
    if (!log.length) return;
    const lines = this._log.textContent ? this._log.textContent.split("\n") : [];
    this._log.textContent = [...lines, ...log].slice(-LOG_KEEPS).join("\n");
    this._log.scrollTop = this._log.scrollHeight;
    this._details.hidden = false;
  }

  /** It is over: gone soon, but not while somebody reads its log. @param {string} how @param {number} stays */
  _end(how, stays) {
    this.element.dataset.status = how;
    this._bar.hidden = true;
    this._part.textContent = how;
    this._part.hidden = false;
    this._timer = setTimeout(() => {
      if (this._details.open) this._details.addEventListener("toggle", () => this.remove(), { once: true });
      else this.remove();
    }, stays);
  }

  /** All is done and only its end is missing. */
  _hide() {
    if (this._details.open) return;
    this.element.hidden = true;
    this._changed();
  }
}
