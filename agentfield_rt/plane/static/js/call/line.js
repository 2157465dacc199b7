// What one attempt at a call holds open: audio, microphone, path, events. Everything is let go in one place.

/** Fields are null until they are there. */
export class Line {
  /** @type {?import("./audio_graph.js").AudioGraph} */
  graph = null;
  /** @type {?MediaStream} */
  microphone = null;
  /** @type {?{close: () => void}} */
  path = null;
  /** @type {?import("./event_stream.js").EventStream} */
  events = null;
  /** The plane's answer to `start`. @type {?object} */
  session = null;
  /** The person has hung up; the end is still to come. */
  leaving = false;
  #abort = new AbortController();

  /** Aborted once the line is let go: whatever is still under way for it stops. */
  get signal() {
    return this.#abort.signal;
  }

  /** Stops sound in both directions; events may still come. */
  closeMedia() {
    this.path?.close();
    this.path = null;
    for (const track of this.microphone?.getTracks() ?? []) track.stop();
    void this.graph?.close();
  }

  close() {
    this.#abort.abort();
    this.events?.close();
    this.closeMedia();
  }
}
