/**
 * Moments as students read them: in their own time, everywhere in one format. Used by page.js and times.js.
 */

const FORMAT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const IS_UTC = ["UTC", "Etc/UTC", "GMT", "Etc/GMT"].includes(FORMAT.resolvedOptions().timeZone);
const HALF_DAY = 12 * 3600 * 1000;
const WRITTEN = /\b([01]\d|2[0-3]):([0-5]\d):([0-5]\d) UTC\b/g;

/** "14:02:10", or as the reader's country writes it; who lives in UTC is told so. @param {Date} moment */
export function localTime(moment) {
  return IS_UTC ? `${moment.toISOString().slice(11, 19)} UTC` : FORMAT.format(moment);
}

/** The text with each "13:02:28 UTC" in it as the reader's time; the moment nearest to now is meant. @param {string} text */
export function inLocalTime(text) {
  return text.replace(WRITTEN, (_, hours, minutes, seconds) => localTime(nearest(Number(hours), Number(minutes), Number(seconds))));
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
