/**
 * Moments as students read them: in their own time, everywhere in one format. Used by page.js and times.js.
 */

const FORMAT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const WITH_DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const IS_UTC = ["UTC", "Etc/UTC", "GMT", "Etc/GMT"].includes(FORMAT.resolvedOptions().timeZone);
const HALF_DAY = 12 * 3600 * 1000;
const WRITTEN = /\b(?:(\d{4}-\d\d-\d\d) )?([01]\d|2[0-3]):([0-5]\d):([0-5]\d) UTC\b/g;

/**
 * "14:02:10", or as the reader's country writes it, with the date where it is half a day or more away; who lives in UTC
 * is told so. @param {Date} moment
 */
export function localTime(moment) {
  const far = Math.abs(moment.getTime() - Date.now()) >= HALF_DAY;
  if (IS_UTC) return `${moment.toISOString().slice(far ? 0 : 11, 19).replace("T", " ")} UTC`;
  return (far ? WITH_DATE : FORMAT).format(moment);
}

/**
 * The text with each "13:02:28 UTC" in it as the reader's time: the moment nearest to now is meant, where no date stands
 * before it (labkit/clock.py, moment_text). @param {string} text
 */
export function inLocalTime(text) {
  return text.replace(WRITTEN, (_, date, hours, minutes, seconds) =>
    localTime(date ? new Date(`${date}T${hours}:${minutes}:${seconds}Z`) : nearest(Number(hours), Number(minutes), Number(seconds))),
  );
}

/** @param {number} hours @param {number} minutes @param {number} seconds */
function nearest(hours, minutes, seconds) {
  const now = Date.now();
  const moment = new Date(now);
  moment.setUTCHours(hours, minutes, seconds, 0);
  const away = moment.getTime() - now;
  const days = away > HALF_DAY ? -1 : away < -HALF_DAY ? 1 : 0;
  return new Date(moment.getTime() + days * 2 * HALF_DAY);
}
