/**
 * The newest frame of a feed on a canvas, as large as the frame is. Part of the contract of panels, see
 * docs/reference/panels.md. Used by generic.js and by panels of cameras.
 */

/** @import { Device } from "./device.js" */
/** @import { Frame } from "./feeds.js" */

/**
 * Show a feed of frames. A page that nobody sees is sent none; a frame that can't be decoded is left out.
 * @param {Device} device @param {string} feed @param {HTMLCanvasElement} canvas
 * @param {(frame: Frame) => void} [shown] called when a frame is on the canvas
 * @returns {() => void} call it to stop
 */
export function showFrames(device, feed, canvas, shown = () => {}) {
  const context = canvas.getContext("2d");
  return device.subscribe(feed, async (/** @type {Frame} */ frame) => {
    await pageIsSeen(); // what is not shown yet is not acknowledged, so nothing more comes
    const picture = await decoded(frame.jpeg);
    if (!picture) return;
    if (canvas.width !== picture.width) canvas.width = picture.width;
    if (canvas.height !== picture.height) canvas.height = picture.height;
    context?.drawImage(picture, 0, 0);
    picture.close();
    shown(frame);
  });
}

/** @param {Uint8Array} jpeg */
async function decoded(jpeg) {
  try {
    return await createImageBitmap(new Blob([/** @type {BlobPart} */ (jpeg)], { type: "image/jpeg" }));
  } catch {
    return null;
  }
}

/** @returns {Promise<void>} */
function pageIsSeen() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((seen) => document.addEventListener("visibilitychange", () => seen(), { once: true }));
}
