// Chooses what to call from what the server offers. Pure.

import { CallFailure } from "./failures.js";

const node = (name) => name.split(".")[0];

/**
 * @param {object[]} targets as the server lists them
 * @param {{name: ?string, path: ?string}} wish a target's name, a path (`webrtc` or `websocket`), both or neither
 * @returns {object} the target; its `transport` says which path carries the call
 * @throws {CallFailure} `no_target`
 */
export function chooseTarget(targets, { name, path }) {
  const callable = targets.filter(({ transport }) => transport === "webrtc" || transport === "websocket");
  const named = callable.find(({ target }) => target === name);
  if (name && !named) throw new CallFailure("no_target", `The server does not offer ${name}.`);
  if (named && (!path || named.transport === path)) return named;
  const fitting = callable.filter(({ transport }) => transport === (path ?? "webrtc"));
  const sibling = named && fitting.find(({ target }) => node(target) === node(named.target));
  const chosen = sibling ?? fitting[0] ?? (path ? undefined : callable[0]);
  if (chosen) return chosen;
  throw new CallFailure("no_target", path ? `The server offers no session over ${path}.` : "");
}
