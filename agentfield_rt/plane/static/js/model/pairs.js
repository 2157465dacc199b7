// Reads openers and closers of a journal as pairs and gives each pair a lane to be drawn in. Pure.

const OPENERS = new Set([
  "realtime_connect_requested", "realtime_input_send_requested", "realtime_output_receive_requested",
  "realtime_interrupt_requested", "realtime_refer_requested", "realtime_restart_started",
  "realtime_close_requested", "turn_started", "utterance_requested", "tool_intent_recorded", "execution_queued",
  "approval_dispatch_intent", "output_dispatch_requested", "stream_intervention_requested",
]);
const LANES = { conversation: 4, boundary: 3 };

/** Which filter a kind belongs to. */
export function groupOf(kind) {
  return kind.startsWith("realtime_") ? "boundary" : "conversation";
}

function toneOf(kind) {
  if (kind.endsWith("_failed")) return "failed";
  if (kind.endsWith("_unknown")) return "unknown";
  if (/_(interrupted|skipped|cancelled|dropped|denied|lost)$/.test(kind)) return "warned";
  return "done";
}

/** The lanes of one group: who is open, drawn side by side. */
class Lanes {
  constructor(count) {
    this.open = new Array(count).fill(null);
  }

  take(opId) {
    const lane = this.open.indexOf(null);
    if (lane >= 0) this.open[lane] = opId;
    return lane;
  }

  /** One word per lane: what a row draws there. */
  draw(lane, role) {
    return this.open.map((opId, index) => {
      if (index === lane) return role;
      return opId === null ? "" : "through";
    });
  }
}

/**
 * @typedef {object} Row
 * @property {object} record
 * @property {"conversation"|"boundary"} group
 * @property {"opens"|"closes"|"touches"|"alone"} role
 * @property {"done"|"failed"|"unknown"|"warned"} tone
 * @property {number} since_start_ms
 * @property {?Row} partner of a closer its opener; of an opener its closer, once there is one
 * @property {?number} took_ms
 * @property {{conversation: string[], boundary: string[]}} lanes
 */
export class Pairs {
  #open = new Map();
  #lanes = { conversation: new Lanes(LANES.conversation), boundary: new Lanes(LANES.boundary) };
  #startedAtMs = null;

  /** @returns {Row} how to show the record; its opener's row is completed on the way */
  place(record) {
    this.#startedAtMs ??= record.at_ms;
    const group = groupOf(record.kind);
    const row = {
      record, group, role: "alone", tone: toneOf(record.kind),
      since_start_ms: Math.max(0, record.at_ms - this.#startedAtMs), partner: null, took_ms: null, lanes: null,
    };
    const opId = record.op_id ?? record.data?.op_id ?? record.data?.utterance_id ?? null;
    const open = opId === null ? undefined : this.#open.get(opId);
    let lane = -1;
    if (OPENERS.has(record.kind) && !open) {
      lane = this.#lanes[group].take(opId);
      row.role = "opens";
      this.#open.set(opId, { row, lane });
    } else if (open && record.op_id) {
      ({ lane } = open);
      this.#close(row, open);
    } else if (open) {
      ({ lane } = open);
      row.role = "touches";
      row.partner = open.row;
    }
    row.lanes = this.#draw(group, lane, row.role);
    if (row.role === "closes") this.#free(open.row.group, lane, opId);
    return row;
  }

  #close(row, { row: opener }) {
    row.role = "closes";
    row.partner = opener;
    row.took_ms = Math.max(0, row.record.at_ms - opener.record.at_ms);
    opener.partner = row;
    opener.took_ms = row.took_ms;
  }

  #free(group, lane, opId) {
    if (lane >= 0) this.#lanes[group].open[lane] = null;
    this.#open.delete(opId);
  }

  #draw(group, lane, role) {
    const drawn = {};
    for (const [name, lanes] of Object.entries(this.#lanes)) {
      drawn[name] = lanes.draw(name === group ? lane : -1, role);
    }
    return drawn;
  }
}
