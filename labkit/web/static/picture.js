/**
 * The newest frame of a feed on a canvas, as large as the frame is. Part of the contract of panels, see
 * docs/reference/panels.md. Used by generic.js and by panels of cameras.
 */

/** @import { Device } from "./device.js" */
/** @import { Frame } from "./feeds.js" */

/**
 * Show a feed of frames, while somebody can see it: a page that is hidden does not subscribe, so that the camera can
 * rest. A frame that can't be decoded is left out.
 * @param {Device} device @param {string} feed @param {HTMLCanvasElement} canvas
 * @param {(frame: Frame) => void} [shown] called when a frame is on the canvas
 * @returns {() => void} call it to stop
 */
export function showFrames(device, feed, canvas, shown = () => {}) {
  const context = canvas.getContext("2d");
  const show = async (/** @type {Frame} */ frame) => {
    const picture = await decoded(frame.jpeg);
    if (!picture) return;
    if (canvas.width !== picture.width) canvas.width = picture.width;
    if (canvas.height !== picture.height) canvas.height = picture.height;
    context?.drawImage(picture, 0, 0);
    picture.close();
    shown(frame);
  };
  return whileSeen(canvas, () => device.subscribe(feed, show));
}

/**
 * Keep something begun while the page is seen. A canvas that has been taken out of the page, as with a panel that
 * failed, begins nothing any more: its feed may be another one's.
 * @param {HTMLCanvasElement} canvas @param {() => () => void} begin returns what ends it
 * @returns {() => void} call it to stop
 */
function whileSeen(canvas, begin) {
  let end = document.hidden ? null : begin();
  const follow = () => {
    if (document.hidden) {
      end?.();
      end = null;
    } else if (canvas.isConnected) end ??= begin();
  };
  document.addEventListener("visibilitychange", follow);
  return () => {
    document.removeEventListener("visibilitychange", follow);
    end?.();
    end = null;
  };
}

/** @param {Uint8Array} jpeg */
async function decoded(jpeg) {
  try {
    return await createImageBitmap(new Blob([/** @type {BlobPart} */ (jpeg)], { type: "image/jpeg" }));
  } catch {
    return null;
  }
}
