// One record of the journal as a row: its place in its pair's lane, when, what, and a few fields.

import { element } from "./dom.js";

const FIELDS_MAX = 4;
const VALUE_LENGTH_MAX = 48;
const TEXT_LENGTH_MAX = 80;
const PAIRING = new Set(["op_id", "utterance_id"]);

/** @param {import("../model/pairs.js").Row} row */
export function journalRow(row) {
  const { record, group, role, tone } = row;
  const node = element(`li.record.${group}.${tone}`, { "data-seq": String(record.seq), "data-role": role },
    lanes("conversation", row), lanes("boundary", row),
    element("span.seq", {}, String(record.seq)),
    element("span.since", {}, (row.since_start_ms / 1000).toFixed(2)),
    kindOf(record), element("span.pair", {}, pairing(row)), fieldsOf(record));
  if (role === "opens" && row.partner) showOutcome(node, row);
  return node;
}

/** Tells an opener's row how it ended. @param {?HTMLElement} node @param {import("../model/pairs.js").Row} opener */
export function showOutcome(node, opener) {
  if (!node) return;
  const closer = opener.partner;
  node.dataset.outcome = closer.tone;
  node.querySelector(".pair").textContent = `→ ${closer.record.seq}`;
}

function lanes(group, row) {
  const drawn = row.lanes[group].map((role) => element(role ? `i.${role}` : "i"));
  return element(`span.lanes.${group}`, { "aria-hidden": "true" }, ...drawn);
}

function kindOf({ kind }) {
  const [, prefix, rest] = /^(realtime_)?(.*)$/.exec(kind);
  return element("code.kind", {}, prefix && element("span.prefix", {}, prefix, element("wbr")), ...breakable(rest));
}

/** A long kind breaks after an underscore rather than anywhere. */
function breakable(name) {
  return name.split(/(?<=_)/).flatMap((part, index) => (index === 0 ? [part] : [element("wbr"), part]));
}

function pairing({ role, partner, took_ms: tookMs }) {
  if (role === "opens") return "open";
  if (role === "closes") return `${partner.record.seq} ← ${tookMs < 10 ? tookMs.toFixed(1) : Math.round(tookMs)} ms`;
  return role === "touches" ? `in ${partner.record.seq}` : "";
}

function shorten(text, lengthMax) {
  return text.length > lengthMax ? `${text.slice(0, lengthMax - 1)}…` : text;
}

function shown([name, value], content) {
  const text = name.endsWith("_ref") ? content?.[value] : undefined;
  if (text !== undefined) {
    const plain = typeof text === "string" ? text : JSON.stringify(text);
    return [name.slice(0, -"_ref".length), `“${shorten(plain, TEXT_LENGTH_MAX)}”`];
  }
  if (name.endsWith("_ref") || value === null || value === "") return null;
  if (Array.isArray(value)) return value.length ? [name, shorten(value.join(", "), VALUE_LENGTH_MAX)] : null;
  return [name, shorten(typeof value === "object" ? inWords(value) : String(value), VALUE_LENGTH_MAX)];
}

/** Audio that flowed as its length; counts by name as `name:count`. */
function inWords(value) {
  if ("digest" in value) return `${value.frames} frames, ${(value.duration_ms / 1000).toFixed(2)} s`;
  return Object.entries(value).map(([name, count]) => `${name}:${count}`).join(" ");
}

function fieldsOf({ data, content }) {
  const fields = Object.entries(data ?? {})
    .filter(([name]) => !PAIRING.has(name) && !name.endsWith("_ns"))
    .map((field) => shown(field, content))
    .filter(Boolean)
    .slice(0, FIELDS_MAX);
  if (fields.length === 0) return null;
  return element("span.fields", {}, ...fields.map(([name, value]) =>
    element("span.field", {}, element("span.name", {}, name), " ", value)));
}
