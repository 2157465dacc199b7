// Where in a text the listener stopped hearing it. Pure; knows nothing of calls or pages.

const WORD = /\S+/g;

/**
 * Splits a text at the point up to which it was heard.
 *
 * The heard part usually is a prefix. A provider that spells or spaces it differently is followed
 * word by word instead, so the mark still stands between two words of the text.
 *
 * @param {string} text what was to be said
 * @param {string} heard the part that was heard
 * @returns {[string, string]} the heard part and the rest; together they are `text`
 */
export function splitAtHeard(text, heard) {
  const start = heard.trim();
  if (!start) return ["", text];
  if (!text) return [start, ""];
  if (text.startsWith(start)) return [text.slice(0, start.length), text.slice(start.length)];
  const words = [...text.matchAll(WORD)];
  const count = Math.min(start.match(WORD).length, words.length);
  const last = words[count - 1];
  const end = last ? last.index + last[0].length : 0;
  return [text.slice(0, end), text.slice(end)];
}
