// Band-limited sample rate conversion for a stream that comes in pieces. Pure; runs inside worklets.

const ZERO_CROSSINGS = 12; // of the sinc kernel, on each side
const PHASES = 128; // kernel positions between two samples

/** One row of taps per phase: a Hann-windowed sinc that passes `cutoff` of the input's band. */
function makeKernel(cutoff, reach) {
  const rows = [];
  for (let phase = 0; phase <= PHASES; phase += 1) {
    const row = new Float32Array(2 * reach);
    let sum = 0;
    for (let tap = 0; tap < row.length; tap += 1) {
      const distance = tap - reach + 1 - phase / PHASES;
      const x = Math.PI * cutoff * distance;
      const sinc = x === 0 ? 1 : Math.sin(x) / x;
      const window = Math.abs(distance) < reach ? 0.5 + 0.5 * Math.cos((Math.PI * distance) / reach) : 0;
      row[tap] = sinc * window;
      sum += row[tap];
    }
    rows.push(row.map((value) => value / sum));
  }
  return rows;
}

/** From one rate to another, mono; holds back `reach` input samples (under 1 ms from 48 kHz to 16 kHz). */
export class Resampler {
  /** @param {number} fromHz @param {number} toHz */
  constructor(fromHz, toHz) {
    this.step = fromHz / toHz;
    const cutoff = Math.min(1, 1 / this.step) * 0.94;
    this.reach = Math.ceil(ZERO_CROSSINGS * Math.max(1, this.step));
    this.kernel = makeKernel(cutoff, this.reach);
    this.reset();
  }

  /** Forgets what went before, as after a gap. */
  reset() {
    this.held = new Float32Array(2 * this.reach); // silence before the first sample
    this.at = this.reach; // where in `held` the next output sample stands, in input samples
  }

  /** @param {Float32Array} piece @returns {Float32Array} what can be said of it so far */
  push(piece) {
    const input = new Float32Array(this.held.length + piece.length);
    input.set(this.held);
    input.set(piece, this.held.length);
    const end = input.length - this.reach;
    const output = new Float32Array(Math.max(0, Math.ceil((end - this.at) / this.step)));
    let written = 0;
    for (; this.at < end && written < output.length; this.at += this.step) {
      output[written] = this.sampleAt(input, this.at);
      written += 1;
    }
    const keepFrom = Math.floor(this.at) - this.reach;
    this.held = input.slice(keepFrom);
    this.at -= keepFrom;
    return output.subarray(0, written);
  }

  sampleAt(input, position) {
    const whole = Math.floor(position);
    const row = this.kernel[Math.round((position - whole) * PHASES)];
    const first = whole - this.reach + 1;
    let sum = 0;
    for (let tap = 0; tap < row.length; tap += 1) sum += row[tap] * input[first + tap];
    return sum;
  }
}
