// How loud a node is right now.

const FLOOR_DB = -54;

export class LevelProbe {
  constructor(context, node) {
    this.analyser = context.createAnalyser();
    this.analyser.fftSize = 1024;
    this.samples = new Float32Array(this.analyser.fftSize);
    node.connect(this.analyser);
  }

  /** @returns {number} 0 (-54 dB or less) to 1 (full scale) */
  level() {
    this.analyser.getFloatTimeDomainData(this.samples);
    let sum = 0;
    for (const sample of this.samples) sum += sample * sample;
    const rms = Math.sqrt(sum / this.samples.length);
    if (rms === 0) return 0;
    const db = 20 * Math.log10(rms);
    return Math.min(1, Math.max(0, 1 - db / FLOOR_DB));
  }
}
