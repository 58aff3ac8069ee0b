/**
 * What the server and the page tell each other. Used by every script here; holds no code.
 *
 * @typedef {"ok" | "offline" | "faulty"} Condition
 * @typedef {{state: "starting" | "active" | "ending" | "expired", reason?: string, now: number, started?: number,
 *            max_date: number, time_left: number | null, tasks?: TaskNews[], devices?: DeviceNews[]}} SessionState
 *          times in seconds, dates since 1970; tasks that run and devices that changed come with the first one only
 * @typedef {{panel: boolean, help?: string, schema?: Schema}} Command
 * @typedef {{type: "bytes" | "state" | "frames", help?: string}} FeedKind
 * @typedef {{name: string, title: string, kind: string, panel: string | null, condition: Condition, reason: string,
 *            hold?: string, commands: Record<string, Command>, feeds: Record<string, FeedKind>}} DeviceData
 * @typedef {{title: string, username?: string, back?: string, benches?: string[], session: SessionState, devices: DeviceData[],
 *            urls: {socket: string, ended: string, static: string}}} PageData
 *
 * @typedef {{kind: string, message: string}} Refusal
 * @typedef {{ok: boolean, error?: Refusal, result?: any, time_left?: number, state?: string, reason?: string}} Answer
 * @typedef {{device: string, feed: string, cursor: string, data: any, lost: number, history?: boolean}} FeedMessage
 *          lost: bytes dropped before data, -1 for an unknown number; history: it was there before the subscription
 * @typedef {{device: string, feed: string, id: number, captured: number, width: number, height: number,
 *            data: ArrayBuffer}} FrameMessage  captured: seconds since 1970; data: JPEG
 * @typedef {{device: string, condition: Condition, reason: string, hold?: string}} DeviceNews
 * @typedef {{task: string, name: string, status: "submitted" | "running" | "done" | "failed",
 *            progress: {part: number, text: string} | null, log: string[]}} TaskNews  log: only the lines that are new
 *
 * @typedef {{type?: string, format?: string, title?: string, description?: string, default?: any, enum?: any[],
 *            anyOf?: Schema[], minimum?: number, maximum?: number, exclusiveMinimum?: number,
 *            exclusiveMaximum?: number, properties?: Record<string, Schema>,
 *            required?: string[]}} Schema
 */
export {};
