// Follows a session's server-sent events, and comes back by itself when the connection breaks.

// The plane closes a session one second after its last listener left, so the first retries are quick.
const RETRY_MS = [100, 200, 300, 500, 1000, 2000, 4000];
const TELL_AT = 2; // a connection that is back at once is nobody's concern

export class EventStream {
  #source = null;
  #retry = null;
  #failures = 0;

  /**
   * @param {URL} url the session's events, without a cursor
   * @param {object} listener `onRecord(record)`, `onLive(event)`, `onEnd()`, `onLost()` when the connection breaks,
   *   `onBack()` when it is there again, `onGone()` once it gives up, and `lastSeq()`, the last record the page has
   */
  constructor(url, listener) {
    this.url = url;
    this.listener = listener;
    this.#open();
  }

  close() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }

  #open() {
    const url = new URL(this.url);
    url.searchParams.set("presence", "1");
    url.searchParams.set("after", String(this.listener.lastSeq()));
    const source = new EventSource(url);
    this.#source = source;
    source.addEventListener("open", () => {
      if (this.#failures > 0) this.listener.onBack();
      this.#failures = 0;
    });
    source.addEventListener("record", (event) => this.listener.onRecord(JSON.parse(event.data)));
    source.addEventListener("live", (event) => this.listener.onLive(JSON.parse(event.data)));
    source.addEventListener("end", () => {
      this.close();
      this.listener.onEnd();
    });
    source.addEventListener("error", () => this.#again(source));
  }

  // The browser's own reconnect waits about three seconds and would keep the first cursor: both are ours to do.
  #again(source) {
    source.close();
    if (source !== this.#source) return;
    if (this.#failures >= RETRY_MS.length) {
      this.#source = null;
      this.listener.onGone();
      return;
    }
    this.#retry = setTimeout(() => this.#open(), RETRY_MS[this.#failures]);
    this.#failures += 1;
    if (this.#failures === TELL_AT) this.listener.onLost();
  }
}
