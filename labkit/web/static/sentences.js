/**
 * What goes wrong, in a student's words. The server's own sentence, which is for who looks after the lab, becomes the
 * details. Used by device.js.
 */

/** By the kind of the error; `{it}` is what the device is called. A kind that is not here speaks for itself. */
const SENTENCES = /** @type {Record<string, string>} */ ({
  CallLostError: "The lab lost touch with the {it} for a moment. Your last input may be missing.",
  CallExpiredError: "The {it} did not get round to this in time: it was not done. Try again.",
  DeviceOfflineError: "The {it} is not reachable right now. It comes back by itself; wait a moment.",
  DeviceFaultyError: "The {it} is out of order: this was not done. Tell the lab's staff.",
  DeviceBusyError: "The {it} is busy with something else: this was not done. Try again in a moment.",
  ReservationLostError: "Your session is over, or has given the {it} back: this was not done.",
  InterruptedCallError: "This was stopped before it was finished.",
  StoreUnavailableError: "The lab can't do this right now. Nothing is lost; try again in a moment.",
  InternalError: "Something went wrong in the lab. Try again; if it happens again, tell the lab's staff.",
});

/** Why a device that is not ok can't be used. @type {Record<string, string>} */
const CONDITIONS = {
  offline: "The {it} is not reachable right now. It comes back by itself; wait a moment.",
  faulty: "The {it} is out of order. Tell the lab's staff; the rest of your bench works on.",
};

/** What a board went through while it was away. @param {string} it */
export const cameBack = (it) => `the ${it} was away and has been put into its safe state`;

/** What a call or a subscription failed with: `message` for a student, `details` for who looks after the lab. */
export class DeviceError extends Error {
  /** @param {{kind?: string, message: string}} error @param {string} it what the device is called */
  constructor({ kind = "", message }, it) {
    const sentence = Object.hasOwn(SENTENCES, kind) ? named(SENTENCES[kind], it) : "";
    super(sentence || message);
    this.name = "DeviceError";
    this.kind = kind;
    this.details = sentence ? message : "";
  }
}

/** Why a device can't be used; empty where it is ok. @param {string} condition @param {string} it */
export function conditionSentence(condition, it) {
  return named(CONDITIONS[condition] ?? "", it);
}

/** @param {string} sentence @param {string} it */
function named(sentence, it) {
  return sentence.replaceAll("{it}", it);
}
