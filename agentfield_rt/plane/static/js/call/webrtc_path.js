// Carries the call over WebRTC: the offer goes through the plane, the media to the provider, or to the plane where
// that carries them on.

import { exchangeOffer } from "../api.js";
import { CallFailure } from "./failures.js";

const GATHERING_MS = 2_000;
const RECOVERY_MS = 5_000;

/** Resolves with what `predicate` waits for, or false after `boundMs`. */
function reached(target, event, predicate, { boundMs, signal }) {
  return new Promise((resolve, reject) => {
    const check = () => predicate() && finish(true);
    const timer = setTimeout(() => finish(false), boundMs);
    const abort = () => finish(null);
    const finish = (result) => {
      clearTimeout(timer);
      target.removeEventListener(event, check);
      signal.removeEventListener("abort", abort);
      if (result === null) reject(signal.reason);
      else resolve(result);
    };
    target.addEventListener(event, check);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    else check();
  });
}

export class WebRtcPath {
  /** Whether the session may have a caller by now: until then it can still be called on another path. */
  hasCalled = false;
  #connection = null;
  #recovery = null;

  /**
   * @param {import("./audio_graph.js").AudioGraph} graph
   * @param {HTMLAudioElement} speaker plays what the agent says
   * @param {(failure: CallFailure) => void} onLost told once when an open connection breaks
   */
  constructor(graph, speaker, onLost) {
    this.graph = graph;
    this.speaker = speaker;
    this.onLost = onLost;
  }

  /**
   * @param {object} session the answer of the plane's `start`
   * @param {?MediaStream} microphone null to only listen
   * @param {{boundMs: number, signal: AbortSignal}} limits
   * @throws {CallFailure} `webrtc_timeout` or `webrtc_failed`
   */
  async connect(session, microphone, { boundMs, signal }) {
    if (!window.RTCPeerConnection) throw new CallFailure("webrtc_failed", "This browser has no WebRTC.");
    const connection = new RTCPeerConnection({
      iceServers: session.ice_servers ?? [],
      iceTransportPolicy: session.ice_transport_policy ?? "all",
    });
    this.#connection = connection;
    this.#listen(connection);
    const endsAtProvider = session.transport === "webrtc";
    if (endsAtProvider) connection.createDataChannel("oai-events");
    const [track] = microphone?.getAudioTracks() ?? [];
    if (track) connection.addTrack(track, microphone);
    else connection.addTransceiver("audio", { direction: "recvonly" });

    await connection.setLocalDescription();
    const gathered = () => connection.iceGatheringState === "complete";
    // Without it the candidates found so far have to do.
    await reached(connection, "icegatheringstatechange", gathered, { boundMs: GATHERING_MS, signal });
    // A machine on no network has no address to offer; its own websocket still works.
    if (!connection.localDescription.sdp.includes("\na=candidate:")) {
      throw new CallFailure("webrtc_failed", "This browser has no address to be reached at.");
    }
    await this.#answer(endsAtProvider ? session.offer_url : session.media_offer_url, signal);

    const settled = () => ["connected", "failed", "closed"].includes(connection.connectionState);
    const inTime = await reached(connection, "connectionstatechange", settled, { boundMs, signal });
    if (!inTime) throw new CallFailure("webrtc_timeout");
    if (connection.connectionState !== "connected") throw new CallFailure("webrtc_failed");
    connection.addEventListener("connectionstatechange", () => this.#watch());
  }

  close() {
    clearTimeout(this.#recovery);
    this.#connection?.close();
    this.#connection = null;
    this.speaker.srcObject = null;
  }

  async #answer(offerUrl, signal) {
    const connection = this.#connection;
    this.hasCalled = true;
    try {
      const sdp = await exchangeOffer(offerUrl, connection.localDescription.sdp, signal);
      await connection.setRemoteDescription({ type: "answer", sdp });
    } catch (error) {
      signal.throwIfAborted();
      // A server that is gone or full is no better on the other path; a refused offer may be.
      if (error.code === "server_gone" || error.code === "busy") throw error;
      if (error.code === "server_slow") throw new CallFailure("webrtc_timeout");
      if (error.code === "refused") this.hasCalled = false;
      throw new CallFailure(error.status === 502 ? "provider_failed" : "webrtc_failed", error.message);
    }
  }

  #listen(connection) {
    connection.addEventListener("track", ({ track, streams }) => {
      if (track.kind !== "audio") return;
      const stream = streams[0] ?? new MediaStream([track]);
      this.speaker.srcObject = stream;
      // Refused on a page nobody has touched; the call says so and plays on the first touch.
      this.speaker.play().catch((error) => console.info("sound is held back:", error.name));
      this.graph.addAgentStream(stream);
    });
  }

  #watch() {
    const state = this.#connection?.connectionState;
    clearTimeout(this.#recovery);
    if (state === "failed" || state === "closed") this.onLost(new CallFailure("webrtc_lost"));
    if (state !== "disconnected") return;
    // A short loss mends itself.
    this.#recovery = setTimeout(() => this.onLost(new CallFailure("webrtc_lost")), RECOVERY_MS);
  }
}
