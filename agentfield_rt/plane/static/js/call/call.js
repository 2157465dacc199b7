// One call at a time: starts it, keeps it, ends it, and writes into the model where it stands.

import * as plane from "../api.js";
import { AudioGraph } from "./audio_graph.js";
import { EventStream } from "./event_stream.js";
import { CallFailure, FAILURES } from "./failures.js";
import { Line } from "./line.js";
import { openMicrophone } from "./microphone.js";
import { chooseTarget } from "./targets.js";
import { WebRtcPath } from "./webrtc_path.js";
import { WebSocketPath } from "./websocket_path.js";

const CONNECT_MS = 10_000;
const FAREWELL_MS = 3_000; // from hanging up to the end of the events
const GRACE_MS = 1_000; // media that stop may be the session's end, which the events say a little later
const WAITING_TEXTS_MAX = 8;
const LOST = "The server does not answer. Trying to reach it …";
const ACTIVE = new Set(["microphone", "connecting", "in_call"]);

const MICROPHONE_STATES = { microphone_denied: "denied", microphone_missing: "missing" };

export class Call {
  #line = null;
  #waiting = [];

  /**
   * @param {import("../model/call_model.js").CallModel} model
   * @param {ReturnType<import("../options.js").readOptions>} options
   * @param {HTMLAudioElement} speaker
   * @param {?import("./recorder.js").Recorder} recorder
   */
  constructor(model, options, speaker, recorder) {
    this.model = model;
    this.options = options;
    this.speaker = speaker;
    this.recorder = recorder;
    model.addEventListener("state", () => this.#sendWaiting());
  }

  get active() {
    return ACTIVE.has(this.model.state.call);
  }

  /** Calls. Does nothing during a call. */
  async start({ microphone = true, path = this.options.path } = {}) {
    if (this.active) return;
    const line = new Line();
    this.#line = line;
    this.model.reset();
    this.model.update({ call: microphone ? "microphone" : "connecting" });
    try {
      await this.#openAudio(line, microphone);
      await this.#openSession(line, path);
      this.model.update({ call: "in_call", started_at_ms: Date.now() });
      this.#mindSilence(line);
    } catch (error) {
      if (!line.signal.aborted) this.#fail(line, error);
    }
  }

  /** Ends the call from this side. */
  async hangUp() {
    const line = this.#line;
    if (!line || !this.active || line.leaving) return;
    line.leaving = true;
    if (!line.session) {
      line.close();
      this.model.update({ call: "idle", microphone: "off" });
      return;
    }
    try {
      // Before the media goes: the server would take its loss for a caller who is gone.
      await plane.closeSession(line.session.session_id);
      // The rest of the journal comes before the end.
      setTimeout(() => this.#end(line), FAREWELL_MS);
    } catch (error) {
      this.#fail(line, error);
    } finally {
      line.closeMedia();
    }
  }

  /** Sends a typed turn; calls without a microphone first when there is no call. */
  async say(text) {
    if (this.model.state.call === "in_call" && this.model.state.connected) {
      await this.#send(text);
      return;
    }
    if (this.#waiting.length < WAITING_TEXTS_MAX) this.#waiting.push(text);
    if (!this.active) await this.start({ microphone: false });
  }

  /** Stops what the agent is saying. */
  async interrupt() {
    if (this.model.state.call !== "in_call") return;
    await this.#attempt(() => plane.interruptSession(this.model.state.session_id));
  }

  toggleMute() {
    const track = this.#line?.microphone?.getAudioTracks()[0];
    if (!track || !this.active) return;
    track.enabled = !track.enabled;
    this.model.update({ microphone: track.enabled ? "on" : "muted" });
  }

  /** @param {"user"|"agent"} side @returns {number} 0 to 1 */
  level(side) {
    return this.active ? (this.#line?.graph?.level(side) ?? 0) : 0;
  }

  /** The page is going away. */
  leave() {
    const sessionId = this.#line?.session?.session_id;
    if (sessionId && this.active) plane.closeSessionUnheard(sessionId);
  }

  async #openAudio(line, microphone) {
    line.graph = new AudioGraph(this.recorder);
    await line.graph.prepare();
    if (!microphone) return;
    const stream = await openMicrophone({ processed: !this.options.record });
    if (line.signal.aborted) for (const track of stream.getTracks()) track.stop();
    line.signal.throwIfAborted();
    line.microphone = stream;
    line.graph.addMicrophone(stream);
    stream.getAudioTracks()[0].addEventListener("ended", () => this.model.update({ microphone: "missing" }));
    this.model.update({ call: "connecting", microphone: "on" });
  }

  async #openSession(line, path) {
    const targets = await plane.sessionTargets(line.signal);
    const target = chooseTarget(targets, { name: this.options.target, path });
    this.model.setTarget(target);
    line.session = await this.#startSession(line, target);
    line.events = this.#follow(line);
    await this.#connectMedia(line, path);
  }

  /** Media that end at the plane take WebRTC too where it can be had, and one websocket where it cannot. */
  async #connectMedia(line, path) {
    const { session, signal } = line;
    const lost = (failure) => this.#lost(line, failure);
    const limits = { boundMs: CONNECT_MS, signal };
    const endsAtProvider = session.transport === "webrtc";
    if (endsAtProvider || (session.media_offer_url && path !== "websocket")) {
      line.path = new WebRtcPath(line.graph, this.speaker, lost);
      this.model.update({ path: "webrtc" });
      try {
        await line.path.connect(session, line.microphone, limits);
        return;
      } catch (error) {
        if (endsAtProvider || line.path.hasCalled || !(error instanceof CallFailure)) throw error;
        console.info("WebRTC is not to be had, so a websocket carries the call:", error.detail);
        line.path.close();
      }
    }
    line.path = new WebSocketPath(line.graph, lost);
    this.model.update({ path: "websocket" });
    await line.path.connect(session, line.microphone, limits);
  }

  async #startSession(line, target) {
    // Not given the line's signal: a session that was started must be known, to be closed.
    const session = await plane.startSession(target.target);
    if (line.signal.aborted) await plane.closeSession(session.session_id);
    line.signal.throwIfAborted();
    const { session_id, run_id, provider, recorded = false } = session;
    this.model.update({ session_id, run_id, provider, recorded, target: target.target });
    return session;
  }

  #follow(line) {
    return new EventStream(plane.absolute(line.session.events_url), {
      lastSeq: () => this.model.lastSeq,
      onRecord: (record) => this.model.addRecord(record),
      onLive: (event) => this.model.addLive(event),
      onEnd: () => this.#end(line),
      onLost: () => this.model.update({ notice: LOST }),
      onBack: () => this.model.state.notice === LOST && this.model.update({ notice: null }),
      onGone: () => this.#fail(line, new CallFailure("server_gone")),
    });
  }

  #lost(line, failure) {
    setTimeout(() => this.#fail(line, failure), GRACE_MS);
  }

  #end(line) {
    if (line !== this.#line || !this.active) return;
    line.close();
    this.model.settle();
    this.#waiting = [];
    const { session_id } = line.session;
    const timeline_url = plane.timelineUrl(session_id);
    this.model.update({ call: "ended", microphone: "off", notice: null, ended_at_ms: Date.now(), timeline_url });
    void this.#verify(session_id);
  }

  async #verify(sessionId) {
    let verify;
    let rest = [];
    try {
      verify = await plane.verifyJournal(sessionId);
      if (verify.records > this.model.lastSeq) rest = await plane.recordsAfter(sessionId, this.model.lastSeq);
    } catch (error) {
      verify ??= { error: error.message || "The server did not answer." };
    }
    if (this.model.state.session_id !== sessionId) return;
    // Events end with the session; its run's last record comes after. What is checked is listed, and no more.
    for (const record of rest) if (record.seq <= verify.records) this.model.addRecord(record);
    this.model.update({ verify });
  }

  #fail(line, error) {
    if (line !== this.#line || !this.active) return;
    const code = error.code in FAILURES ? error.code : "internal";
    if (code === "internal") console.error(error);
    const sessionId = line.session?.session_id;
    line.close();
    // Also tells a server that only this page cannot reach; presence ends the session if this does not.
    if (sessionId) plane.closeSessionUnheard(sessionId);
    this.model.settle();
    // What was typed stays for the next attempt only when this one never got as far as a session.
    if (sessionId) this.#waiting = [];
    const failure = { code, detail: error.detail ?? error.message ?? "" };
    const microphone = MICROPHONE_STATES[code] ?? "off";
    this.model.update({ call: "failed", failure, notice: null, microphone, ended_at_ms: Date.now() });
  }

  #sendWaiting() {
    if (this.model.state.call !== "in_call" || !this.model.state.connected) return;
    for (const text of this.#waiting.splice(0)) void this.#send(text);
  }

  #send(text) {
    return this.#attempt(() => plane.sendText(this.model.state.session_id, text));
  }

  /** Something that may fail without ending the call. */
  async #attempt(action) {
    try {
      await action();
      if (this.model.state.notice) this.model.update({ notice: null });
    } catch (error) {
      const failure = FAILURES[error.code];
      if (!failure) throw error;
      this.model.update({ notice: [failure.title, error.message].filter(Boolean).join(" ") });
    }
  }

  /** A page nobody has touched may not make a sound: say so, and begin with the first touch. */
  #mindSilence(line) {
    if (!line.graph.asleep) return;
    const notice = "The browser holds the sound back: press a key or tap anywhere to hear the agent.";
    this.model.update({ notice });
    const wake = async () => {
      await line.graph.wake();
      if (this.speaker.srcObject) await this.speaker.play();
      if (this.model.state.notice === notice) this.model.update({ notice: null });
    };
    for (const touch of ["pointerdown", "keydown"]) {
      window.addEventListener(touch, wake, { once: true, signal: line.signal });
    }
  }
}
