// Plays what is posted to it: buffers of mono int16 PCM at 24 kHz, or "clear" to throw the rest away.
// A small buffer evens out the network: playing starts once 60 ms are there, or 60 ms after the first sample.

import { Resampler } from "./resampler.js";

const PRIME_MS = 60;
const HELD_MS_MAX = 2000; // the server stays 200 ms ahead, so more than this is a fault: the oldest goes
const FADE_MS = 5;

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(24_000, sampleRate);
    this.pieces = [];
    this.offset = 0; // into the first piece
    this.held = 0;
    this.playing = false;
    this.waited = 0;
    this.fading = 0;
    this.port.onmessage = ({ data }) => (data === "clear" ? this.clear() : this.take(data));
  }

  take(buffer) {
    if (this.fading) this.empty(); // what comes after a clear does not belong to what fades
    const pcm = new Int16Array(buffer);
    const piece = this.resampler.push(Float32Array.from(pcm, (sample) => sample / 32768));
    this.pieces.push(piece);
    this.held += piece.length;
    while (this.held > (HELD_MS_MAX / 1000) * sampleRate) this.dropFirst();
  }

  dropFirst() {
    this.held -= this.pieces.shift().length - this.offset;
    this.offset = 0;
  }

  /** Keeps a few milliseconds to fade out over, so that the cut does not click. */
  clear() {
    this.resampler.reset();
    if (this.playing) this.fading = Math.min(this.held, Math.round((FADE_MS / 1000) * sampleRate));
    if (!this.fading) this.empty();
  }

  empty() {
    this.pieces = [];
    this.offset = 0;
    this.held = 0;
    this.playing = false;
    this.waited = 0;
    this.fading = 0;
  }

  next() {
    const sample = this.pieces[0][this.offset];
    this.offset += 1;
    this.held -= 1;
    if (this.offset === this.pieces[0].length) {
      this.pieces.shift();
      this.offset = 0;
    }
    return sample;
  }

  process(inputs, [[channel]]) {
    const prime = (PRIME_MS / 1000) * sampleRate;
    if (!this.playing && this.held > 0) {
      this.waited += channel.length;
      this.playing = this.held >= prime || this.waited >= prime;
    }
    for (let at = 0; at < channel.length && this.playing; at += 1) {
      while (this.pieces[0]?.length === 0) this.pieces.shift();
      if (this.held === 0) {
        this.empty();
        break;
      }
      const fadeLength = (FADE_MS / 1000) * sampleRate;
      channel[at] = this.next() * (this.fading ? this.fading / fadeLength : 1);
      if (this.fading) {
        this.fading -= 1;
        if (this.fading === 0) this.empty();
      }
    }
    return true;
  }
}

registerProcessor("playback", Playback);
