// The control plane's HTTP API as this page uses it (docs/reference/http-api.md). Knows no call and no element.

const ANSWER_MS = 10_000;
const START_MS = 30_000; // the first call may have to start a provider
const BASE = new URL("api/v1/", document.baseURI);

/** A server with keys gives the page none: whoever opens it appends `#api_key=…`, which browsers send to nobody. */
const KEY = new URLSearchParams(location.hash.slice(1)).get("api_key");

/**
 * The server refused or could not be reached.
 *
 * `code` is one of `server_gone` (nobody is there), `server_slow` (no answer in time), `busy` (it has no room
 * now), `key_missing` and `key_unknown` (it lets nobody in without a key of its own), `refused` (it said no).
 */
export class ServerError extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

async function reasonOf(response) {
  try {
    const { error } = await response.json();
    return typeof error === "string" ? error : "";
  } catch {
    return ""; // not every refusal is JSON (a proxy's, for one); the status still says enough
  }
}

async function request(url, options = {}, boundMs = ANSWER_MS) {
  const bound = AbortSignal.timeout(boundMs);
  const signal = options.signal ? AbortSignal.any([options.signal, bound]) : bound;
  const headers = KEY ? { ...options.headers, "X-API-Key": KEY } : options.headers;
  let response;
  try {
    response = await fetch(url, { ...options, headers, signal });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ServerError(bound.aborted ? "server_slow" : "server_gone", "");
  }
  if (response.ok) return response;
  throw new ServerError(codeOf(response.status), await reasonOf(response), response.status);
}

function codeOf(status) {
  if (status === 401) return KEY ? "key_unknown" : "key_missing";
  return status === 429 || status === 503 ? "busy" : "refused";
}

function json(body, signal) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
}

/** Resolves an address, which may be a path, for what can have no header: event streams, websockets, pictures. */
export function absolute(address) {
  const url = new URL(address, document.baseURI);
  if (KEY) url.searchParams.set("api_key", KEY);
  return url;
}

function instance(sessionId, what) {
  return new URL(`session-instances/${encodeURIComponent(sessionId)}/${what}`, BASE);
}

/** @returns {Promise<object[]>} what can be called */
export async function sessionTargets(signal) {
  const response = await request(new URL("session-targets", BASE), { signal });
  return (await response.json()).targets;
}

export async function startSession(target, signal) {
  const url = new URL(`session-targets/${encodeURIComponent(target)}/start`, BASE);
  return (await request(url, json({}, signal), START_MS)).json();
}

/** @returns {Promise<string>} the SDP answer */
export async function exchangeOffer(offerUrl, sdp, signal) {
  const headers = { "Content-Type": "application/sdp" };
  const url = new URL(offerUrl, document.baseURI);
  return (await request(url, { method: "POST", headers, body: sdp, signal })).text();
}

export async function sendText(sessionId, text) {
  await request(instance(sessionId, "input"), json({ text }));
}

export async function interruptSession(sessionId) {
  await request(instance(sessionId, "interrupt"), json({}));
}

export async function closeSession(sessionId) {
  await request(instance(sessionId, "close"), json({ reason: "normal" }));
}

/** For a page that is going away: nobody will read the answer. A beacon could have no key. */
export function closeSessionUnheard(sessionId) {
  const options = { ...json({ reason: "caller_gone" }), keepalive: true };
  request(instance(sessionId, "close"), options).catch(() => {}); // presence ends the session all the same
}

/** @returns {Promise<{ok: boolean, records: number, head: string}>} */
export async function verifyJournal(sessionId) {
  return (await request(instance(sessionId, "verify"))).json();
}

/** @returns {Promise<object[]>} what the journal has of the session's run after a record */
export async function recordsAfter(sessionId, seq) {
  const url = instance(sessionId, "replay");
  url.searchParams.set("after", String(seq));
  const lines = (await (await request(url)).text()).split("\n");
  return lines.filter(Boolean).map((line) => JSON.parse(line));
}

export function timelineUrl(sessionId) {
  return absolute(instance(sessionId, "timeline.svg")).href;
}
