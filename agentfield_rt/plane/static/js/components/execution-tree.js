// Which reasoners ran in a turn, nested as they called each other.

import { element } from "./dom.js";

const FIELDS_MAX = 4;
const SAID = "spoken_response"; // what the agent says stands in its own line
const FIELD_LENGTH_MAX = 32;
const STATUS = { running: "running", succeeded: "done", failed: "failed", cancelled: "cancelled" };

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // a result need not be JSON
  }
}

/**
 * What a turn was taken to mean: the short fields of the outermost result.
 *
 * @param {import("../model/conversation.js").Execution[]} executions
 * @returns {[string, string][]}
 */
export function understoodFields(executions) {
  const ids = new Set(executions.map(({ execution_id: id }) => id));
  const outermost = executions.find(({ parent_execution_id: parent }) => !ids.has(parent));
  const result = outermost?.result ? parsed(outermost.result) : null;
  if (result === null || typeof result !== "object" || Array.isArray(result)) return [];
  return Object.entries(result)
    .filter(([name, value]) => name !== SAID && (value === true || ["string", "number"].includes(typeof value)))
    .map(([name, value]) => [name.replaceAll("_", " "), String(value).replaceAll("_", " ")])
    .filter(([, value]) => value && value.length <= FIELD_LENGTH_MAX)
    .slice(0, FIELDS_MAX);
}

/**
 * @param {import("../model/conversation.js").Execution[]} executions
 * @param {Set<string>} expanded executions whose input and result are shown
 */
export function executionTree(executions, expanded) {
  if (executions.length === 0) return null;
  const ids = new Set(executions.map(({ execution_id: id }) => id));
  // A parent this turn does not know (a call from outside, say) makes a root.
  const childrenOf = (id) => executions.filter(({ parent_execution_id: parent }) =>
    id === null ? !ids.has(parent) : parent === id);
  const list = (id) => {
    const children = childrenOf(id);
    return children.length === 0 ? null : element("ul", {}, ...children.map((child) =>
      element("li", {}, executionView(child, expanded), list(child.execution_id))));
  };
  return element("div.executions", { role: "group", "aria-label": "What ran" }, list(null));
}

function executionView(execution, expanded) {
  const { execution_id: id, target, status, duration_ms: tookMs, reason } = execution;
  const [node, name] = target.includes(".") ? target.split(/\.(.*)/) : ["", target];
  const state = [STATUS[status], reason && reason.replaceAll("_", " ")].filter(Boolean).join(": ");
  return element("details", { "data-id": id, "data-execution": id, open: expanded.has(id) },
    element(`summary.${status}`, {},
      element("span.dot", { role: "img", "aria-label": state }),
      element("code", {}, node && element("span.node", {}, `${node}.`), name),
      status === "failed" && element("span.badge.failed", {}, state),
      tookMs !== null && element("span.took", {}, `${tookMs} ms`)),
    content("input", execution.input), content("result", execution.result));
}

function content(name, text) {
  if (text === null) return null;
  const value = parsed(text);
  return element("div.content", {}, element("span.name", {}, name),
    element("pre", {}, value === null ? text : JSON.stringify(value, null, 1)));
}
