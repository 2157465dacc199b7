// One turn: what the user said, what ran for it, and what the agent said, up to where the user cut in.

import { splitAtHeard } from "../model/heard.js";
import { ICONS, element, icon } from "./dom.js";
import { executionTree, understoodFields } from "./execution-tree.js";

class TurnView extends HTMLElement {
  /** @param {import("../model/conversation.js").Turn} turn */
  show(turn) {
    const expanded = new Set([...this.querySelectorAll("details[open]")].map(({ dataset }) => dataset.id));
    this.dataset.turn = turn.key;
    this.dataset.status = turn.status;
    const parts = turn.utterances.map((utterance, index) => agentLine(utterance, index === 0 ? turn.reply_ms : null));
    if (turn.source !== "agent") parts.unshift(userLine(turn), workOf(turn, expanded));
    if (turn.status === "failed") parts.push(failureLine(turn));
    this.#put(parts.filter(Boolean));
  }

  /** Leaves what did not change where it is: it keeps the focus, and is not read out again. */
  #put(parts) {
    parts.forEach((part, index) => {
      const shown = this.children[index];
      if (!shown) this.append(part);
      else if (!shown.isEqualNode(part)) shown.replaceWith(part);
    });
    while (this.children.length > parts.length) this.lastElementChild.remove();
  }
}

function userLine(turn) {
  const typed = turn.source === "text";
  const who = element("span.who", {}, "You", typed && element("span.how", { title: "typed" }, icon(ICONS.keyboard)));
  const words = turn.understood
    ? element("p.words", {}, turn.text ?? "")
    : element("p.words.not-understood", {}, turn.text ? `“${turn.text}” ` : "",
      element("span.badge.warned", {}, "not understood"));
  return element("div.line.user", {}, who, words);
}

function workOf(turn, expanded) {
  if (turn.executions.length === 0) return null;
  const fields = understoodFields(turn.executions).map(([name, value]) =>
    element("span.badge", {}, element("span.name", {}, name), " ", value));
  return element("div.work", {}, executionTree(turn.executions, expanded),
    fields.length > 0 && element("p.badges", { role: "group", "aria-label": "What was understood" }, ...fields));
}

function agentLine(utterance, replyMs) {
  const reply = replyMs !== null && element("span.badge.reply",
    { title: "From the end of your speech to the first sound of the answer" }, `reply in ${replyMs} ms`);
  const underway = utterance.status === "waiting" || utterance.status === "speaking";
  // Read out once, when it is settled, rather than at every word.
  const attributes = { "data-utterance": utterance.utterance_id, "aria-live": underway && "off" };
  return element(`div.line.agent.${utterance.status}`, attributes,
    element("span.who", {}, "Agent"), element("p.words", {}, ...spoken(utterance)), reply);
}

const UNSAID = { failed: "could not be said", skipped: "not said" };

function spoken({ status, text, said, heard, heard_ms: heardMs, cut_by: cutBy, reason }) {
  if (status === "played") return [heard || text];
  if (status === "interrupted") {
    const [before, after] = splitAtHeard(text, heard ?? "");
    const what = cutBy === "end" ? "the call ended" : "you cut in";
    const when = heardMs === null ? what : `${what} after ${(heardMs / 1000).toFixed(1)} s`;
    return [element("span.heard", {}, before), element("mark.cut", {}, when), " ",
      element("s.unheard", {}, after.trimStart())];
  }
  if (status in UNSAID) {
    return [element("s.unheard", {}, text), " ",
      element("span.badge.warned", {}, [UNSAID[status], words(reason)].filter(Boolean).join(": "))];
  }
  const [before, after] = splitAtHeard(text, said);
  return [element("span.heard", {}, before), element("span.to-come", {}, after)];
}

function failureLine(turn) {
  return element("div.line.failure", {}, icon(ICONS.warning),
    element("p.words", {}, `This turn failed: ${words(turn.reason) || "no reason given"}.`));
}

/** A reason code as a person reads it. */
function words(reason) {
  return reason ? reason.replaceAll("_", " ") : "";
}

customElements.define("turn-view", TurnView);
