// Puts the page together: model, call, components, and the hooks for tests.

import { sessionTargets } from "./api.js";
import { Call } from "./call/call.js";
import { FAILURES } from "./call/failures.js";
import { Recorder } from "./call/recorder.js";
import "./components/call-panel.js";
import "./components/call-summary.js";
import "./components/hint-chips.js";
import "./components/journal-view.js";
import "./components/live-transcript.js";
import "./components/text-box.js";
import { CallModel } from "./model/call_model.js";
import { readOptions } from "./options.js";
import { exposeHooks } from "./testing_hooks.js";
import { chooseTarget } from "./call/targets.js";

const COMPONENTS = ["call-panel", "call-summary", "hint-chips", "journal-view", "live-transcript", "text-box"];

const options = readOptions(location.search);
const model = new CallModel();
const recorder = options.record ? new Recorder() : null;
const call = new Call(model, options, document.querySelector("#agent-audio"), recorder);

function nameThePage() {
  const { target, state } = model;
  const name = target?.metadata?.title ?? target?.target ?? "agentfield-rt";
  document.querySelector("#title").textContent = name;
  document.title = state.call === "in_call" ? `In call: ${name}` : name;
  if (!target) return;
  const parts = [target.target, `${target.provider} over ${target.transport}`];
  document.querySelector("#subtitle").textContent = parts.join(" · ");
  document.querySelector("#run").textContent = state.run_id ?? "";
}

/**
 * Shows what can be called before anybody calls. A failure that a call might not meet shows itself when somebody
 * does.
 */
async function showTarget() {
  try {
    const { target: name, path } = options;
    const chosen = chooseTarget(await sessionTargets(), { name, path });
    if (!model.target) model.setTarget(chosen);
  } catch (error) {
    console.info("nothing to call yet:", error.message);
    const { code, message: detail } = error;
    if (FAILURES[code]?.isFinal && !call.active) model.update({ call: "failed", failure: { code, detail } });
  }
}

for (const name of COMPONENTS) document.querySelector(name).attach({ model, call });
model.addEventListener("target", nameThePage);
model.addEventListener("state", nameThePage);
window.addEventListener("pagehide", () => call.leave());
window.addEventListener("hashchange", () => call.active || location.reload()); // a key was put there
exposeHooks(model, recorder);
await showTarget();
if (options.autostart) await call.start();
