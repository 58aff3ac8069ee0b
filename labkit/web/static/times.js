/**
 * Moments on a page without a socket: adds the reader's own time to each `<time data-moment>`, and counts down in each
 * `[data-wait]` (both seconds since 1970). Used by the pages refused, ended and demo.
 */
import { words } from "./countdown.js";

for (const element of document.querySelectorAll("time[data-moment]")) addLocalTime(/** @type {HTMLTimeElement} */ (element));
for (const element of document.querySelectorAll("[data-wait]")) countDown(/** @type {HTMLElement} */ (element));

/** @param {HTMLTimeElement} element */
function addLocalTime(element) {
  const moment = new Date(Number(element.dataset.moment) * 1000);
  element.dateTime = moment.toISOString();
  if (moment.getTimezoneOffset() === 0) return;
  element.textContent += ` (${moment.toLocaleTimeString()} where you are)`;
}

/** @param {HTMLElement} element */
function countDown(element) {
  const left = Number(element.dataset.wait) - Date.now() / 1000;
  element.textContent = left > 0 ? `, in ${words(left)}.` : `. ${element.dataset.over ?? ""}`;
  if (left > 0) setTimeout(() => countDown(element), 1000 - (Date.now() % 1000));
}
