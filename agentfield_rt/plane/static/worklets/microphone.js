// Microphone in, posts 20 ms frames of mono int16 PCM at 16 kHz (640 bytes).

import { Resampler } from "./resampler.js";

const FRAME = 320;

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, 16_000);
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
  }

  process([input]) {
    if (!input[0]) return true;
    for (const sample of this.resampler.push(input[0])) {
      this.frame[this.filled] = Math.max(-1, Math.min(1, sample)) * 32767;
      this.filled += 1;
      if (this.filled === FRAME) {
        this.port.postMessage(this.frame.buffer, [this.frame.buffer]);
        this.frame = new Int16Array(FRAME);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
