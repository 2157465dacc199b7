// The call button, where the call stands, the microphone, and how loud both sides are.

import { FAILURES } from "../call/failures.js";
import { ICONS, element, icon } from "./dom.js";
import "./level-meter.js";

const STATUS = {
  idle: "Ready to call",
  microphone: "Waiting for the microphone: please allow it",
  connecting: "Connecting",
  in_call: "In call",
  ended: "Call ended",
  failed: "No call",
};
const BUTTON = { idle: "Call", ended: "Call again", failed: "Call again" };
const AGENT = { idle: "quiet", listening: "listening", thinking: "thinking", speaking: "speaking" };
const MICROPHONE = { off: "off", on: "on", muted: "muted", missing: "missing", denied: "blocked" };

class CallPanel extends HTMLElement {
  attach({ model, call }) {
    this.model = model;
    this.call = call;
    this.#build();
    model.addEventListener("state", () => this.#show());
    this.#show();
  }

  #build() {
    this.buttonText = element("span");
    this.button = element("button.call", { type: "button", onclick: () => this.#press() },
      icon(ICONS.phone), this.buttonText);
    this.status = element("p.status", { role: "status" });
    this.clock = element("span.clock", { "aria-hidden": "true" });
    this.mute = element("button.quiet", { type: "button", onclick: () => this.call.toggleMute() });
    this.stop = element("button.quiet", { type: "button", title: "Escape in the text box does the same",
      onclick: () => this.call.interrupt() },
      icon(ICONS.stop), element("span", {}, "Stop the agent"));
    this.user = this.#meter("user", "You");
    this.agent = this.#meter("agent", "Agent");
    this.message = element("div.message", { role: "alert" });
    this.append(
      element("div.controls", {}, this.button, element("div.standing", {}, this.status, this.clock),
        element("div.side-controls", {}, this.stop, this.mute)),
      element("div.meters", {}, this.user.box, this.agent.box),
      this.message,
    );
    setInterval(() => this.#showClock(), 1000);
  }

  #meter(side, name) {
    const meter = document.createElement("level-meter");
    meter.attach(name, () => this.call.level(side));
    const doing = element("span.doing");
    const box = element(`div.meter.${side}`, {}, element("p", {}, element("strong", {}, name), doing), meter);
    return { box, meter, doing };
  }

  #press() {
    if (this.call.active) void this.call.hangUp();
    else void this.call.start();
  }

  #show() {
    const { state } = this.model;
    const active = this.call.active;
    this.dataset.call = state.call;
    this.button.classList.toggle("hang-up", active);
    const isFinal = Boolean(FAILURES[state.failure?.code]?.isFinal);
    this.button.disabled = isFinal;
    this.buttonText.textContent = active ? "Hang up" : BUTTON[isFinal ? "idle" : state.call];
    this.#showStatus(state);
    this.#showMute(state, active);
    this.stop.hidden = !(state.call === "in_call" && state.agent === "speaking");
    const inCall = state.call === "in_call";
    this.user.meter.running = inCall || state.call === "connecting";
    this.agent.meter.running = inCall;
    this.user.doing.textContent = userDoing(state, inCall);
    this.agent.doing.textContent = inCall ? AGENT[state.agent] : "";
    this.#showClock();
    this.#showMessage(state);
  }

  #showStatus({ call, path, recorded }) {
    const inCall = call === "in_call";
    const over = inCall && element("span.over", {}, ` over ${nameOf(path)}`);
    const status = element("span", {}, STATUS[call], over || "", inCall && recorded ? ". This call is recorded." : "");
    // A live region is read out on every write, also when nothing changed.
    if (this.status.textContent !== status.textContent) this.status.replaceChildren(status);
  }

  #showMute({ microphone }, active) {
    const present = active && (microphone === "on" || microphone === "muted");
    this.mute.hidden = !present;
    const label = microphone === "muted" ? "Unmute" : "Mute";
    if (this.mute.textContent === label) return;
    this.mute.replaceChildren(icon(microphone === "muted" ? ICONS.muted : ICONS.microphone), element("span", {}, label));
  }

  #showClock() {
    const { started_at_ms: from, ended_at_ms: to } = this.model.state;
    this.clock.textContent = from ? clockTime((to ?? Date.now()) - from) : "";
  }

  #showMessage({ failure, notice }) {
    const key = JSON.stringify([failure, notice]);
    if (key === this.shown) return;
    this.shown = key;
    this.message.replaceChildren();
    this.message.hidden = !failure && !notice;
    if (failure) this.#showFailure(failure);
    else if (notice) this.message.append(icon(ICONS.warning), element("p", {}, notice));
  }

  #showFailure({ code, detail }) {
    const { title, advice, offers } = FAILURES[code];
    const buttons = offers.map(({ action, label }) =>
      element("button.offer", { type: "button", onclick: () => this.#take(action) }, label));
    const text = element("div", {}, element("p", {}, element("strong", {}, title), " ", advice),
      detail && element("p.detail", {}, detail), buttons.length > 0 && element("p.offers", {}, ...buttons));
    this.message.append(icon(ICONS.warning), text);
  }

  #take(action) {
    if (action === "websocket") void this.call.start({ path: "websocket" });
    if (action === "without_microphone") void this.call.start({ microphone: false });
    this.button.focus(); // the button that was pressed is gone
  }
}

function nameOf(path) {
  return path === "websocket" ? "a websocket" : "WebRTC";
}

function userDoing({ microphone, user }, inCall) {
  if (inCall && microphone === "on") return user === "speaking" ? "speaking" : "microphone on";
  if (inCall && microphone === "off") return "typing only";
  return `microphone ${MICROPHONE[microphone]}`;
}

function clockTime(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

customElements.define("call-panel", CallPanel);
