// Typing instead of talking.

import { ICONS, element, icon } from "./dom.js";

const LENGTH_MAX = 500;

class TextBox extends HTMLElement {
  attach({ model, call }) {
    this.call = call;
    this.input = element("input", {
      type: "text", name: "text", id: "say", autocomplete: "off", enterkeyhint: "send",
      maxlength: String(LENGTH_MAX),
    });
    const send = element("button.send", { type: "submit", "aria-label": "Send" }, icon(ICONS.send));
    const form = element("form", { onsubmit: (event) => this.#send(event) },
      element("label.unseen", { for: "say" }, "Type instead of talking"), this.input, send);
    this.append(form);
    this.addEventListener("keydown", (event) => {
      if (event.key === "Escape") void call.interrupt();
    });
    model.addEventListener("state", () => this.#show());
    this.#show();
  }

  #show() {
    this.input.placeholder = this.call.active ? "Type instead of talking" : "Or type: calls without a microphone";
  }

  #send(event) {
    event.preventDefault();
    const text = this.input.value.trim();
    if (!text) return;
    this.input.value = "";
    void this.call.say(text);
  }
}

customElements.define("text-box", TextBox);
