// Two inputs, one clock: posts pairs of int16 blocks, input 0 (microphone) and input 1 (what is heard).

const BLOCK = 2400; // 50 ms at 48 kHz

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.sides = [new Int16Array(BLOCK), new Int16Array(BLOCK)];
    this.filled = 0;
  }

  process(inputs, outputs) {
    const length = outputs[0][0].length;
    for (let at = 0; at < length; at += 1) {
      for (let side = 0; side < 2; side += 1) {
        const sample = inputs[side][0]?.[at] ?? 0; // an input with nothing connected has no channel
        this.sides[side][this.filled] = Math.max(-1, Math.min(1, sample)) * 32767;
      }
      this.filled += 1;
      if (this.filled === BLOCK) this.post();
    }
    return true;
  }

  post() {
    this.port.postMessage(this.sides, this.sides.map((side) => side.buffer));
    this.sides = [new Int16Array(BLOCK), new Int16Array(BLOCK)];
    this.filled = 0;
  }
}

registerProcessor("recorder", Recorder);
