// The page's one AudioContext during a call: where both sides are measured, and recorded when asked.

import { LevelProbe } from "./level_probe.js";

const RECORDING_RATE_HZ = 48_000;

export function workletUrl(name) {
  return new URL(`../../worklets/${name}.js`, import.meta.url);
}

/** Sources of sound go in, levels and a recording come out. */
export class AudioGraph {
  /** The microphone as a node of this context, once there is one. @type {?AudioNode} */
  microphone = null;
  #probes = { user: null, agent: null };

  /** @param {?import("./recorder.js").Recorder} recorder keeps both sides, if somebody asked for it */
  constructor(recorder) {
    this.context = new AudioContext(
      recorder ? { sampleRate: RECORDING_RATE_HZ, latencyHint: "interactive" } : { latencyHint: "interactive" },
    );
    this.recorder = recorder;
  }

  async prepare() {
    await this.recorder?.attach(this.context);
    // Never settles on a page nobody has touched yet; `wake` resumes on the first touch.
    void this.context.resume();
  }

  /** Whether the browser holds the sound back until the person touches the page. */
  get asleep() {
    return this.context.state === "suspended";
  }

  async wake() {
    await this.context.resume();
  }

  /** @param {MediaStream} stream */
  addMicrophone(stream) {
    this.microphone = this.context.createMediaStreamSource(stream);
    this.#probes.user = new LevelProbe(this.context, this.microphone);
    this.recorder?.connect(this.microphone, 0);
  }

  /** @param {AudioNode} node what the agent says, as a node of this context */
  addAgent(node) {
    this.#probes.agent = new LevelProbe(this.context, node);
    this.recorder?.connect(node, 1);
  }

  /** @param {MediaStream} stream */
  addAgentStream(stream) {
    this.addAgent(this.context.createMediaStreamSource(stream));
  }

  /**
   * @param {"user"|"agent"} side
   * @returns {number} loudness now, 0 (-54 dB or less) to 1 (full scale)
   */
  level(side) {
    return this.#probes[side]?.level() ?? 0;
  }

  async close() {
    if (this.context.state !== "closed") await this.context.close();
  }
}
