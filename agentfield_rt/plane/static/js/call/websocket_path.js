// Carries the call over one websocket: 16 kHz PCM16 up, 24 kHz PCM16 down (docs/reference/http-api.md).

import { absolute } from "../api.js";
import { workletUrl } from "./audio_graph.js";
import { CallFailure } from "./failures.js";

const BYTES_PER_SECOND_UP = 32_000;

export class WebSocketPath {
  #socket = null;
  #playback = null;
  #open = false;

  /**
   * @param {import("./audio_graph.js").AudioGraph} graph
   * @param {(failure: CallFailure) => void} onLost told once when an open connection breaks
   */
  constructor(graph, onLost) {
    this.graph = graph;
    this.onLost = onLost;
  }

  /**
   * @param {object} session the answer of the plane's `start`
   * @param {?MediaStream} microphone null to only listen
   * @param {{boundMs: number, signal: AbortSignal}} limits
   * @throws {CallFailure} `websocket_failed`
   */
  async connect(session, microphone, { boundMs, signal }) {
    const { context } = this.graph;
    await context.audioWorklet.addModule(workletUrl("playback"));
    await context.audioWorklet.addModule(workletUrl("microphone"));
    signal.throwIfAborted();
    this.#playback = new AudioWorkletNode(context, "playback", {
      numberOfInputs: 0, numberOfOutputs: 1, outputChannelCount: [1],
    });
    this.#playback.connect(context.destination);
    this.graph.addAgent(this.#playback);
    await this.#ready(session, { boundMs, signal });
    this.#open = true;
    if (microphone) this.#sendMicrophone(context);
  }

  close() {
    this.#open = false;
    this.#socket?.close();
    this.#socket = null;
    this.#playback?.disconnect();
  }

  #ready(session, { boundMs, signal }) {
    const url = absolute(session.media_url);
    url.protocol = url.protocol === "https:" || url.protocol === "wss:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    return new Promise((resolve, reject) => {
      const fail = (detail) => reject(new CallFailure("websocket_failed", detail));
      const timer = setTimeout(() => fail("It did not answer in time."), boundMs);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      let said = "";
      socket.addEventListener("message", ({ data }) => {
        if (typeof data !== "string") return this.#playback.port.postMessage(data, [data]);
        const message = JSON.parse(data);
        if (message.type === "clear") this.#playback.port.postMessage("clear");
        if (message.type === "error") said = message.message;
        if (message.type === "ready") {
          clearTimeout(timer);
          resolve();
        }
        return undefined;
      });
      socket.addEventListener("close", () => {
        clearTimeout(timer);
        fail(said);
        if (this.#open) this.onLost(new CallFailure("websocket_lost", said));
        this.#open = false;
      });
    });
  }

  #sendMicrophone(context) {
    const frames = new AudioWorkletNode(context, "microphone", { numberOfInputs: 1, numberOfOutputs: 1 });
    frames.port.onmessage = ({ data }) => {
      // The server's close is told to the socket before it is told to us.
      if (this.#socket?.readyState !== WebSocket.OPEN) return;
      // A line that is a second behind drops sound rather than fall further behind.
      if (this.#socket.bufferedAmount < BYTES_PER_SECOND_UP) this.#socket.send(data);
    };
    this.graph.microphone.connect(frames);
    frames.connect(context.destination); // its output is silence; without it the node would not run
  }
}
