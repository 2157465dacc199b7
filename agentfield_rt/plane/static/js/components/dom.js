// Builds elements. Text only ever becomes text: nothing here parses markup.

/**
 * @param {string} tag a tag, with classes after dots: `"span.badge.warned"`
 * @param {Record<string, string|boolean|((event: Event) => void)>} attributes functions become listeners (`onclick`)
 * @param {...(Node|string|null|undefined|false)} children
 */
export function element(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** A line drawing of 24 by 24. @param {string} path its outline (SVG path data) */
export function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export const ICONS = {
  phone:
    "M6.5 3.5h3l1.5 4-2 1.5a11 11 0 0 0 6 6l1.5-2 4 1.5v3a2 2 0 0 1-2 2A16 16 0 0 1 4.5 5.5a2 2 0 0 1 2-2z",
  microphone: "M12 3.5a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0v-5a3 3 0 0 1 3-3z M5.5 11.5a6.5 6.5 0 0 0 13 0 M12 18v3",
  muted:
    "M9 9v2.5a3 3 0 0 0 5 2.200 M15 11V6.5a3 3 0 0 0-5.900-.8 M5.5 11.5a6.5 6.5 0 0 0 10.800 4.900 M18.5 11.5a6.5 6.5 0 0 1-.4 2.200 M12 18v3 M4 4l16 16",
  keyboard: "M4 7h16v10H4z M7.5 10.5h.01 M12 10.5h.01 M16.5 10.5h.01 M8 14h8",
  stop: "M7 7h10v10H7z",
  send: "M4.5 12h14 M13 6.5l5.5 5.5-5.5 5.5",
  check: "M5 12.5l4.5 4.5L19 7.5",
  warning: "M12 4.5l8.5 15h-17z M12 10.5v4 M12 17h.01",
};
