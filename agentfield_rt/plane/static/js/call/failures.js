// Everything that can end a call badly: what it is in plain words, what to do, and what to offer.

/** A call could not be made or broke off; `code` is a key of `FAILURES`. */
export class CallFailure extends Error {
  constructor(code, detail = "") {
    super(detail || code);
    this.code = code;
    this.detail = detail;
  }
}

const TYPING = { action: "without_microphone", label: "Call without a microphone" };
const WEBSOCKET = { action: "websocket", label: "Use the websocket path" };

/**
 * By code: `title`, `advice`, and `offers`, buttons beside the call button. `isFinal`: calling again would do no
 * better.
 */
export const FAILURES = {
  microphone_denied: {
    title: "The microphone is blocked.",
    advice: "Allow it in the browser’s address bar and call again. You can still type.",
    offers: [TYPING],
  },
  microphone_missing: {
    title: "No microphone was found.",
    advice: "Plug one in and call again. You can still type.",
    offers: [TYPING],
  },
  microphone_busy: {
    title: "The microphone could not be opened.",
    advice: "Another program may be using it. Close that one and call again. You can still type.",
    offers: [TYPING],
  },
  microphone_insecure: {
    title: "The browser keeps the microphone from this address.",
    advice: "It is given to pages on localhost or https only. You can still type.",
    offers: [TYPING],
  },
  webrtc_failed: {
    title: "WebRTC could not connect.",
    advice: "The network may not let it through. The websocket path needs only this page’s own connection.",
    offers: [WEBSOCKET],
  },
  webrtc_timeout: {
    title: "WebRTC did not connect within ten seconds.",
    advice: "The network may not let it through. The websocket path needs only this page’s own connection.",
    offers: [WEBSOCKET],
  },
  webrtc_lost: {
    title: "The WebRTC connection was lost.",
    advice: "Call again, or take the websocket path.",
    offers: [WEBSOCKET],
  },
  websocket_failed: {
    title: "The websocket path could not connect.",
    advice: "Check that the server still runs, then call again.",
    offers: [],
  },
  websocket_lost: {
    title: "The connection was lost.",
    advice: "Check that the server still runs, then call again.",
    offers: [],
  },
  server_gone: {
    title: "The server does not answer.",
    advice: "Check that it still runs, then call again.",
    offers: [],
  },
  server_slow: {
    title: "The server did not answer in time.",
    advice: "It may be starting up or have too much to do. Call again in a moment.",
    offers: [],
  },
  busy: {
    title: "The server has no room for another call.",
    advice: "Wait a moment, then call again.",
    offers: [],
  },
  key_missing: {
    title: "This server needs a key.",
    advice: "Put it at the end of this page’s address: #api_key=…",
    offers: [],
    isFinal: true,
  },
  key_unknown: {
    title: "The server does not know this key.",
    advice: "Put another one at the end of this page’s address: #api_key=…",
    offers: [],
    isFinal: true,
  },
  provider_failed: {
    title: "The provider did not take the call.",
    advice: "It may be down, or refuse the server’s key. If it takes no WebRTC, the websocket path may do.",
    offers: [WEBSOCKET],
  },
  refused: {
    title: "The server refused.",
    advice: "Call again; if it stays like this, the server’s log says more.",
    offers: [],
  },
  no_target: {
    title: "There is nothing to call here.",
    advice: "Start an agent with a session, then call again.",
    offers: [],
  },
  internal: {
    title: "This page made a mistake.",
    advice: "Reload it and call again; the browser’s console says more.",
    offers: [],
  },
};
