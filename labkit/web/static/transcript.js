/**
 * What a device said, byte for byte, to be saved as a file. For panels: `import(device.assets + "transcript.js")`.
 */

const LIMIT = 4 * 1024 * 1024; // bytes; above it the oldest are dropped, and the file says so

export class Transcript {
  constructor() {
    /** @type {Uint8Array[]} */
    this._parts = [];
    this._size = 0;
    this._dropped = false;
  }

  /** @param {Uint8Array} bytes */
  add(bytes) {
    this._parts.push(bytes);
    this._size += bytes.length;
    while (this._size > LIMIT) {
      this._size -= this._parts.shift()?.length ?? this._size;
      this._dropped = true;
    }
  }

  /** Note that bytes are missing here. @param {string} text */
  note(text) {
    this.add(new TextEncoder().encode(`\n${text}\n`));
  }

  /** Have the browser save it, as `bench-1-console-2026-03-01T14-02-10.log`. @param {string} device */
  save(device) {
    const first = this._dropped ? ["… the beginning was dropped …\n"] : [];
    const file = new Blob(/** @type {BlobPart[]} */ ([...first, ...this._parts]), { type: "text/plain" });
    const href = URL.createObjectURL(file);
    const moment = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
    const download = `${device.replace(/[^\w-]/g, "-")}-${moment}.log`;
    Object.assign(document.createElement("a"), { href, download }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10_000);
  }
}
