/**
 * Moments on a page without a socket, as the reader's own time: each `<time data-moment>` (seconds since 1970) and each
 * "13:02:28 UTC" in a `[data-times]`; and each `[data-wait]` counts down in its `[data-left]` until it says its
 * `data-over`. Used by the pages refused, ended and demo.
 */
import { short } from "./countdown.js";
import { inLocalTime, localTime } from "./moments.js";

for (const element of document.querySelectorAll("time[data-moment]")) addLocalTime(/** @type {HTMLTimeElement} */ (element));
for (const element of document.querySelectorAll("[data-times]")) element.textContent = inLocalTime(element.textContent ?? "");
for (const element of document.querySelectorAll("[data-wait]")) countDown(/** @type {HTMLElement} */ (element));

/** @param {HTMLTimeElement} element */
function addLocalTime(element) {
  const moment = new Date(Number(element.dataset.moment) * 1000);
  element.dateTime = moment.toISOString();
  element.textContent = localTime(moment);
}

/** @param {HTMLElement} element */
function countDown(element) {
  const left = Number(element.dataset.wait) - Date.now() / 1000;
  const shown = element.querySelector("[data-left]");
  if (left <= 0) element.textContent = element.dataset.over ?? "";
  else if (shown) shown.textContent = `, in ${short(left)}`;
  if (left > 0) setTimeout(() => countDown(element), 1000 - (Date.now() % 1000));
}
