// After the call: how long, how fast, whether the journal's chain is intact, and the call as a picture.

import { ICONS, element, icon } from "./dom.js";

class CallSummary extends HTMLElement {
  attach({ model }) {
    this.model = model;
    model.addEventListener("state", () => this.#show());
  }

  #show() {
    const { state, conversation } = this.model;
    const key = JSON.stringify([state.call, state.verify, state.timeline_url]);
    if (key === this.shown) return;
    this.shown = key;
    this.hidden = state.call !== "ended";
    if (this.hidden) return;
    this.replaceChildren(
      element("h2", {}, "The call in short"),
      element("p.facts", {}, facts(state, conversation.turns)),
      this.#verdict(state.verify),
      this.#picture(state.timeline_url),
    );
  }

  #verdict(verify) {
    if (!verify) return element("p.verdict", {}, "Checking the journal …");
    if (verify.error) {
      return element("p.verdict.failed", {}, icon(ICONS.warning), `The journal could not be checked: ${verify.error}`);
    }
    const count = `${verify.records} ${verify.records === 1 ? "record" : "records"}`;
    const head = verify.head && element("code", { title: `Head of the chain: ${verify.head}` }, verify.head.slice(0, 12));
    return verify.ok
      ? element("p.verdict.done", {}, icon(ICONS.check), element("span", {}, `${count}, chain intact`), head)
      : element("p.verdict.failed", {}, icon(ICONS.warning), element("span", {}, `${count}, the chain is broken`), head);
  }

  #picture(url) {
    const image = element("img", { src: url, alt: "Timeline of the call: who spoke when, and what ran" });
    image.addEventListener("error", () => {
      link.replaceWith(element("p.faint", {}, "The server drew no timeline of this call."));
    });
    const link = element("a.timeline", { href: url, target: "_blank", rel: "noopener" }, image);
    return link;
  }
}

const REASONS = {
  caller_gone: "the connection ended",
  cancel: "it was cancelled",
  provider_failure: "the provider failed",
  handler_failure: "the agent’s handler failed",
  policy_denial: "it asked for something it may not do",
  shutdown: "the server shut down",
  internal: "the server broke off",
  expired: "it had lasted as long as a call may",
  tampered: "somebody at this end kept changing what only the server may decide",
};

function facts({ started_at_ms: from, ended_at_ms: to, ended_reason: reason }, turns) {
  const asked = turns.filter(({ source }) => source !== "agent").length;
  const replies = turns.map(({ reply_ms: ms }) => ms).filter((ms) => ms !== null).sort((a, b) => a - b);
  const seconds = from ? Math.round((to - from) / 1000) : 0;
  return [
    seconds >= 60 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${seconds} s`,
    `${asked} ${asked === 1 ? "turn" : "turns"}`,
    replies.length > 0 && `median reply ${replies[Math.floor((replies.length - 1) / 2)]} ms`,
    REASONS[reason] && `ended because ${REASONS[reason]}`,
  ].filter(Boolean).join(" · ");
}

customElements.define("call-summary", CallSummary);
