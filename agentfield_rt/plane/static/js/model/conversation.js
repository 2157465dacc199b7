// Folds journal records and live events into turns. Pure: no clock, no network, no page.

/**
 * @typedef {object} Execution
 * @property {string} execution_id
 * @property {?string} parent_execution_id
 * @property {string} target
 * @property {"running"|"succeeded"|"failed"|"cancelled"} status
 * @property {?number} duration_ms
 * @property {?string} input
 * @property {?string} result
 * @property {?string} reason
 *
 * @typedef {object} Utterance
 * @property {string} utterance_id
 * @property {string} text what is to be said
 * @property {string} said what has been said so far
 * @property {?string} heard what was heard of it, once that is settled
 * @property {?number} heard_ms
 * @property {?("user"|"end")} cut_by of an interrupted one: the user cut in, or the session ended
 * @property {"waiting"|"speaking"|"played"|"interrupted"|"failed"|"skipped"} status
 * @property {?string} reason
 *
 * @typedef {object} Turn
 * @property {string} key
 * @property {?string} turn_id null when the agent spoke unasked
 * @property {"speech"|"text"|"agent"} source
 * @property {boolean} understood
 * @property {?string} text
 * @property {?number} reply_ms from the end of the user's speech to the first sound of the answer
 * @property {"open"|"completed"|"failed"} status
 * @property {?string} reason
 * @property {Execution[]} executions
 * @property {Utterance[]} utterances
 */

const ENDING_MS = 1000;

function content(record, field) {
  const value = record.content?.[record.data?.[field]];
  if (value === undefined || value === null) return null;
  return typeof value === "string" ? value : JSON.stringify(value);
}

function newTurn(turnId, source) {
  return {
    key: turnId, turn_id: turnId, source, understood: true, text: null, spoken_until_ms: null,
    reply_ms: null, status: "open", reason: null, executions: [], utterances: [],
  };
}

export class Conversation {
  /** @type {Turn[]} */
  turns = [];
  /** What the user is saying and no turn has yet, oldest first: `{item_id, text, speaking}`. */
  provisional = [];
  #turns = new Map();
  #executions = new Map();
  #utterances = new Map();

  /** @returns {?Turn} the turn that changed, if one did */
  applyRecord(record) {
    return RECORDS[record.kind]?.(this, record) ?? null;
  }

  /** @returns {?Turn} the turn that changed, if one did */
  applyLive(event) {
    return LIVE[event.type]?.(this, event) ?? null;
  }

  turnOf(record) {
    return this.#turns.get(record.turn_id) ?? null;
  }

  openTurn(turnId, source) {
    const known = this.#turns.get(turnId);
    if (known) return known;
    const turn = newTurn(turnId, source);
    this.#turns.set(turnId, turn);
    this.turns.push(turn);
    return turn;
  }

  /** The agent spoke unasked: a turn without a user. */
  openMonologue(key) {
    const turn = { ...newTurn(null, "agent"), key };
    this.turns.push(turn);
    return turn;
  }

  addExecution(execution, turn, queuedAtMs) {
    turn.executions.push(execution);
    this.#executions.set(execution.execution_id, { execution, turn, queuedAtMs });
  }

  executionOf(executionId) {
    return this.#executions.get(executionId) ?? null;
  }

  addUtterance(utterance, turn) {
    turn.utterances.push(utterance);
    this.#utterances.set(utterance.utterance_id, { utterance, turn });
  }

  utteranceOf(utteranceId) {
    return this.#utterances.get(utteranceId) ?? null;
  }

  provisionalOf(itemId) {
    let item = this.provisional.find((candidate) => candidate.item_id === itemId);
    if (!item) {
      // A sound that came to nothing leaves no turn behind.
      this.provisional = this.provisional.filter((other) => other.speaking || other.text);
      item = { item_id: itemId, text: "", speaking: true };
      this.provisional.push(item);
    }
    return item;
  }

  /** A spoken turn has come: what it was made of is provisional no longer. */
  settleProvisional() {
    const stillSpeaking = this.provisional.filter((item) => item.speaking);
    this.provisional = stillSpeaking.length < this.provisional.length ? stillSpeaking : stillSpeaking.slice(1);
  }
}

function endExecution(status) {
  return (conversation, record) => {
    const known = conversation.executionOf(record.op_id);
    if (!known) return null;
    known.execution.status = status;
    known.execution.duration_ms = Math.max(0, Math.round(record.at_ms - known.queuedAtMs));
    known.execution.result = content(record, "result_ref");
    known.execution.reason = record.data.reason ?? null;
    return known.turn;
  };
}

function endUtterance(status) {
  return (conversation, record) => {
    const known = conversation.utteranceOf(record.op_id);
    if (!known) return null;
    const { utterance } = known;
    utterance.status = status;
    utterance.reason = record.data.reason ?? null;
    utterance.heard_ms = record.data.heard_ms ?? null;
    utterance.cut_by = status === "interrupted" ? "user" : null;
    known.endedAtMs = record.at_ms;
    utterance.heard = content(record, "heard_ref") ?? (status === "played" ? utterance.text : "");
    return known.turn;
  };
}

function endTurn(status) {
  return (conversation, record) => {
    const turn = conversation.turnOf({ turn_id: record.op_id ?? record.turn_id });
    if (!turn) return null;
    turn.status = status;
    turn.reason = record.data.reason ?? null;
    return turn;
  };
}

const RECORDS = {
  turn_started(conversation, record) {
    const turn = conversation.openTurn(record.op_id ?? record.turn_id, record.data.source);
    turn.understood = record.data.understood !== false;
    turn.text = content(record, "text_ref");
    const spokenUntilNs = record.data.spoken_until_ns;
    turn.spoken_until_ms = typeof spokenUntilNs === "number" ? spokenUntilNs / 1e6 : null;
    if (turn.source === "speech") conversation.settleProvisional();
    return turn;
  },
  turn_completed: endTurn("completed"),
  turn_failed: endTurn("failed"),

  execution_queued(conversation, record) {
    const parentId = record.data.parent_execution_id ?? null;
    const turn = conversation.turnOf(record) ?? conversation.executionOf(parentId)?.turn;
    if (!turn) return null;
    const execution = {
      execution_id: record.op_id, parent_execution_id: parentId, target: record.data.target, status: "running",
      duration_ms: null, input: content(record, "input_ref"), result: null, reason: null,
    };
    conversation.addExecution(execution, turn, record.at_ms);
    return turn;
  },
  execution_succeeded: endExecution("succeeded"),
  execution_failed: endExecution("failed"),
  execution_cancelled: endExecution("cancelled"),

  utterance_requested(conversation, record) {
    const turn = conversation.turnOf(record) ?? conversation.openMonologue(record.op_id);
    const utterance = {
      utterance_id: record.op_id, text: content(record, "text_ref") ?? "", said: "", heard: null,
      heard_ms: null, cut_by: null, status: "waiting", reason: null,
    };
    conversation.addUtterance(utterance, turn);
    return turn;
  },
  utterance_started(conversation, record) {
    const known = conversation.utteranceOf(record.data.utterance_id);
    if (!known) return null;
    const { utterance, turn } = known;
    if (utterance.status === "waiting") utterance.status = "speaking";
    if (turn.reply_ms === null && turn.source === "speech" && turn.spoken_until_ms !== null) {
      turn.reply_ms = Math.round(record.at_ms - turn.spoken_until_ms);
    }
    return turn;
  },
  utterance_played: endUtterance("played"),
  utterance_interrupted: endUtterance("interrupted"),
  utterance_failed: endUtterance("failed"),
  utterance_skipped: endUtterance("skipped"),

  // A session that ends in the middle of an utterance interrupts it too, just before.
  session_ended(conversation, record) {
    const known = conversation.utteranceOf(conversation.turns.at(-1)?.utterances.at(-1)?.utterance_id);
    if (known?.utterance.status !== "interrupted" || record.at_ms - known.endedAtMs > ENDING_MS) return null;
    known.utterance.cut_by = "end";
    return known.turn;
  },
};

const LIVE = {
  speech_started(conversation, event) {
    conversation.provisionalOf(event.item_id).speaking = true;
  },
  speech_stopped(conversation, event) {
    conversation.provisionalOf(event.item_id).speaking = false;
  },
  partial(conversation, event) {
    conversation.provisionalOf(event.item_id).text = event.text;
  },
  saying(conversation, event) {
    const known = conversation.utteranceOf(event.utterance_id);
    if (!known) return null;
    known.utterance.said = event.text;
    return known.turn;
  },
};
