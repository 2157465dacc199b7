// What the page's address asks for. Meant for tests and for links to one target.

/**
 * - `target=node.session`: call this one;
 * - `path=websocket`: do not try WebRTC;
 * - `autostart=1`: call without waiting for the button;
 * - `record=1`: keep a recording of both sides (see call/recorder.js) and leave the microphone unprocessed.
 *
 * @param {string} search a location's query
 */
export function readOptions(search) {
  const query = new URLSearchParams(search);
  return {
    target: query.get("target"),
    path: query.get("path") === "websocket" ? "websocket" : null,
    autostart: query.get("autostart") === "1",
    record: query.get("record") === "1",
  };
}
