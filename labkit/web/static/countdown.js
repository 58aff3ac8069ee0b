/**
 * The time that is left, by the server's clock. Used by page.js, and by times.js for its words.
 */

/**
 * The levels of urgency: from how many seconds on, from which part of the session on (the later of both counts, so that
 * a short session does not begin in alarm), and what the page says beside the time.
 */
const LEVELS = [
  { level: "last", from: 10, part: 0.05, label: "Last seconds" },
  { level: "last", from: 60, part: 0.1, label: "Last minute" },
  { level: "soon", from: 300, part: 0.2, label: "Ends soon" },
  { level: "calm", from: Infinity, part: Infinity, label: "Time left" },
];
const LAST_SECONDS = 10;
const EXTENDED = 2; // seconds; a smaller jump is the difference of two clocks

/** "4:07", "1:02:09". @param {number} seconds */
export function clock(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, String(whole % 60).padStart(2, "0")];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** "4 minutes 7 seconds". @param {number} seconds */
export function words(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const parts = [
    [Math.floor(whole / 3600), "hour"],
    [Math.floor(whole / 60) % 60, "minute"],
    [whole % 60, "second"],
  ];
  const said = parts.filter(([number]) => number).map(([number, unit]) => `${number} ${unit}${number === 1 ? "" : "s"}`);
  return said.join(" ") || "no time";
}

/** "4 min 7 s": short, for who looks. @param {number} seconds */
export function short(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const parts = [[Math.floor(whole / 3600), "h"], [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  return parts.filter(([number]) => number).map(([number, unit]) => `${number} ${unit}`).join(" ") || "0 s";
}

/** How urgent it is, as an index of LEVELS. @param {number} seconds left @param {number} length of the session in seconds */
function levelOf(seconds, length) {
  return LEVELS.findIndex(({ from, part }) => Math.ceil(seconds) <= Math.min(from, part * length));
}

export class Countdown {
  /**
   * @param {(shown: {left: number, level: string, label: string}) => void} show called each second
   * @param {(text: string) => void} announce called when it becomes urgent, and when the time was extended
   */
  constructor(show, announce) {
    this._show = show;
    this._announce = announce;
    /** @type {number | null} when it is over, in this computer's milliseconds since 1970; null: no limit, or not known */
    this._end = null;
    this._length = Infinity;
    this._level = LEVELS.length - 1;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
  }

  /** Seconds left; null where there is no limit. */
  get left() {
    return this._end === null ? null : Math.max(0, (this._end - Date.now()) / 1000);
  }

  /**
   * The server said how many seconds are left.
   * @param {number | null | undefined} seconds @param {number} [length] of the whole session, where it said that too
   */
  set(seconds, length) {
    if (typeof seconds !== "number" || Number.isNaN(seconds)) return;
    if (length && length > 0) this._length = length;
    const before = this.left;
    this._end = Date.now() + seconds * 1000;
    if (before !== null && seconds > before + EXTENDED) this._announce(`You have more time now: ${words(seconds)}.`);
    this._level = Math.max(this._level, levelOf(seconds, this._length));
    this._tick();
  }

  stop() {
    clearTimeout(this._timer);
    this._end = null;
  }

  _tick() {
    clearTimeout(this._timer);
    const left = this.left;
    if (left === null) return;
    const level = levelOf(left, this._length);
    const { level: name, label } = LEVELS[level];
    this._show({ left, level: name, label: name === "last" && left <= LAST_SECONDS ? LEVELS[0].label : label });
    if (level < this._level) this._announce(`${words(left)} left.`);
    this._level = level;
    const toNextSecond = (left % 1) * 1000 + 15;
    if (left > 0) this._timer = setTimeout(() => this._tick(), toNextSecond);
  }
}
