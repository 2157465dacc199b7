// Everything the page knows about the current call, and who wants to be told when it changes.
// Knows no element and no network; components read it, the call writes it.

import { Conversation } from "./conversation.js";
import { Pairs } from "./pairs.js";

const RECORDS_MAX = 20_000;
const SURPLUS_MAX = 1_000; // forgotten at once: one by one would cost more

const IDLE = {
  /** idle | microphone | connecting | in_call | ended | failed */
  call: "idle",
  /** of a failed call: `{code, detail}` (see call/failures.js) */
  failure: null,
  /** something worth knowing that ends nothing, in plain words */
  notice: null,
  /** webrtc | websocket */
  path: null,
  /** off | on | muted | missing | denied */
  microphone: "off",
  /** the user, as the provider hears them: listening | speaking */
  user: "listening",
  /** idle | listening | thinking | speaking */
  agent: "idle",
  /** the journal says that the provider is connected */
  connected: false,
  session_id: null,
  run_id: null,
  target: null,
  provider: null,
  /** both sides are kept as a file; callers have a right to know */
  recorded: false,
  started_at_ms: null,
  ended_at_ms: null,
  ended_reason: null,
  /** after the call: `{ok, records, head}`, or `{error}` when it could not be asked */
  verify: null,
  timeline_url: null,
};

function deepFreeze(value) {
  if (value === null || typeof value !== "object") return;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
}

/** Fires "state", "target", "record" (detail: Row), "turn" (detail: Turn), "provisional" and "reset". */
export class CallModel extends EventTarget {
  state = { ...IDLE };
  /** The session target as the server lists it, once known. */
  target = null;
  rows = [];
  conversation = new Conversation();
  #pairs = new Pairs();
  #lastSeq = 0;

  get lastSeq() {
    return this.#lastSeq;
  }

  /** Forgets the last call. */
  reset() {
    this.state = { ...IDLE };
    this.rows = [];
    this.conversation = new Conversation();
    this.#pairs = new Pairs();
    this.#lastSeq = 0;
    this.#tell("reset");
    this.#tell("state");
  }

  update(change) {
    Object.assign(this.state, change);
    this.#tell("state");
  }

  setTarget(target) {
    this.target = target;
    this.#tell("target");
  }

  /** Takes a record once: one that was seen before (a reconnect, an overlap) changes nothing. */
  addRecord(record) {
    if (record.seq <= this.#lastSeq) return;
    this.#lastSeq = record.seq;
    record.data ??= {};
    deepFreeze(record);
    const row = this.#pairs.place(record);
    this.rows.push(row);
    if (this.rows.length >= RECORDS_MAX + SURPLUS_MAX) this.#forget();
    this.#tell("record", row);
    const turn = this.conversation.applyRecord(record);
    if (turn) this.#tell("turn", turn);
    if (record.kind === "turn_started") this.#tell("provisional");
    if (record.kind === "realtime_connected") this.update({ connected: true });
    if (record.kind === "session_ended") this.update({ ended_reason: record.data.reason ?? null });
  }

  addLive(event) {
    if (event.type === "state") {
      this.update({ user: event.user, agent: event.agent });
      return;
    }
    const turn = this.conversation.applyLive(event);
    if (turn) this.#tell("turn", turn);
    else this.#tell("provisional");
  }

  /** Nobody is talking any more. */
  settle() {
    this.conversation.provisional = [];
    this.#tell("provisional");
  }

  /** Frames make the provider's records many; those of the conversation are kept longer. */
  #forget() {
    let surplus = this.rows.length - RECORDS_MAX;
    const kept = this.rows.filter(({ group }) => group !== "boundary" || (surplus -= 1) < 0);
    this.rows = kept.slice(-RECORDS_MAX);
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
