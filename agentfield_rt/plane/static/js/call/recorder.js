// Keeps what the microphone gave and what the speaker got, sample by sample on one clock, for tests that
// measure reply and barge-in times. Exists only when the page's address asks for it.

import { workletUrl } from "./audio_graph.js";

const MINUTES_MAX = 15;
const BASE64_STEP = 0x8000;

function base64(chunks) {
  let binary = "";
  for (const chunk of chunks) {
    const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (let at = 0; at < bytes.length; at += BASE64_STEP) {
      binary += String.fromCharCode(...bytes.subarray(at, at + BASE64_STEP));
    }
  }
  return btoa(binary);
}

/** Both sides of the newest call; survives its end, until the next begins. */
export class Recorder {
  #sides = [[], []];
  #samples = 0;
  #node = null;
  #rateHz = 0;

  /** @param {AudioContext} context of a new call: the recording starts anew */
  async attach(context) {
    await context.audioWorklet.addModule(workletUrl("recorder"));
    this.#sides = [[], []];
    this.#samples = 0;
    this.#rateHz = context.sampleRate;
    this.#node = new AudioWorkletNode(context, "recorder", { numberOfInputs: 2, numberOfOutputs: 1 });
    this.#node.port.onmessage = ({ data }) => this.#keep(data);
    this.#node.connect(context.destination); // its output is silence; without it the node would not run
  }

  /** @param {AudioNode} node @param {0|1} side 0 the microphone, 1 what is heard */
  connect(node, side) {
    node.connect(this.#node, 0, side);
  }

  #keep([microphone, remote]) {
    if (this.#samples >= this.#rateHz * 60 * MINUTES_MAX) return;
    this.#sides[0].push(microphone);
    this.#sides[1].push(remote);
    this.#samples += microphone.length;
  }

  /**
   * @returns {Promise<{sample_rate_hz: number, samples: number, microphone: string, remote: string}>} both sides,
   *   equally long, each base64 of mono int16 little-endian PCM
   */
  async dump() {
    return {
      sample_rate_hz: this.#rateHz,
      samples: this.#samples,
      microphone: base64(this.#sides[0]),
      remote: base64(this.#sides[1]),
    };
  }
}
