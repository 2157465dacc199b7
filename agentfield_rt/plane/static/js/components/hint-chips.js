// What the agent understands, as buttons that say it.

import { element } from "./dom.js";

class HintChips extends HTMLElement {
  attach({ model, call }) {
    this.hidden = true;
    model.addEventListener("target", () => this.#show(model.target, call));
  }

  #show(target, call) {
    const hints = target?.metadata?.hints ?? [];
    this.hidden = hints.length === 0;
    const chips = hints.map((hint) =>
      element("li", {}, element("button.chip", { type: "button", onclick: () => void call.say(hint) }, hint)));
    this.replaceChildren(element("p", { id: "hints-title" }, "Try"),
      element("ul", { "aria-labelledby": "hints-title" }, ...chips));
  }
}

customElements.define("hint-chips", HintChips);
