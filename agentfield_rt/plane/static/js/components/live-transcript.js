// Who said what, as it is said.

import { element } from "./dom.js";
import { Follow } from "./follow.js";
import "./turn-view.js";

const TURNS_MAX = 200;
const BELOW_PX = 160;
const phone = matchMedia("(max-width: 60rem)");

class LiveTranscript extends HTMLElement {
  #views = new Map();

  attach({ model }) {
    this.model = model;
    this.turns = element("div.turns", { role: "log", "aria-label": "Transcript" });
    // Words that may still change are not read out.
    this.provisional = element("div.provisional", { "aria-live": "off" });
    this.end = element("div.end");
    this.empty = element("p.empty", {}, "Nothing has been said yet. Press Call and talk, or type below.");
    this.scroller = element("div.scroller", { tabindex: "0", role: "region", "aria-label": "What was said" },
      this.empty, this.turns, this.provisional, this.end);
    this.follow = new Follow(this.scroller);
    this.append(element("h2", {}, "Transcript"), this.scroller);
    model.addEventListener("reset", () => this.#reset());
    model.addEventListener("turn", ({ detail: turn }) => this.#keepInView(() => this.#showTurn(turn)));
    model.addEventListener("provisional", () => this.#keepInView(() => this.#showProvisional()));
  }

  #reset() {
    this.#views.clear();
    this.turns.replaceChildren();
    this.provisional.replaceChildren();
    this.empty.hidden = false;
  }

  #showTurn(turn) {
    let view = this.#views.get(turn.key);
    if (!view) {
      view = document.createElement("turn-view");
      this.#views.set(turn.key, view);
      this.turns.append(view);
      if (this.#views.size > TURNS_MAX) this.#dropOldest();
    }
    view.show(turn);
    this.empty.hidden = true;
  }

  #dropOldest() {
    const [key, view] = this.#views.entries().next().value;
    view.remove();
    this.#views.delete(key);
  }

  #showProvisional() {
    const items = this.model.conversation.provisional.filter(({ text, speaking }) => text || speaking);
    this.provisional.replaceChildren(...items.map(({ text, speaking }) =>
      element("div.line.user", {}, element("span.who", {}, "You"),
        element("p.words", {}, text, speaking && element("span.caret", {}, text ? " …" : "…")))));
    if (items.length) this.empty.hidden = true;
  }

  /** Follows the newest words unless the reader has scrolled up. On a phone the page scrolls, not the box. */
  #keepInView(change) {
    const near = this.end.getBoundingClientRect().top < window.innerHeight + BELOW_PX;
    change();
    if (!phone.matches) this.follow.pin();
    else if (near) this.end.scrollIntoView({ block: "nearest" });
  }
}

customElements.define("live-transcript", LiveTranscript);
