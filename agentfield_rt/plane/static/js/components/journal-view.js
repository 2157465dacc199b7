// The journal, record by record, as it is written.

import { element } from "./dom.js";
import { Follow } from "./follow.js";
import { journalRow, showOutcome } from "./journal-row.js";

const ROWS_MAX = 400;
const FILTERS = [["all", "All"], ["conversation", "Conversation"], ["boundary", "Provider boundary"]];
const phone = matchMedia("(max-width: 60rem)");

class JournalView extends HTMLElement {
  #filter = "all";
  #elements = new Map();
  #waiting = [];

  attach({ model }) {
    this.model = model;
    this.#build();
    model.addEventListener("reset", () => this.#redraw());
    model.addEventListener("record", ({ detail: row }) => this.#add(row));
  }

  #build() {
    this.count = element("span.count");
    this.list = element("ol.records", { "aria-label": "Journal records" });
    this.empty = element("p.empty", {}, "Every step of a call is written here before and after it happens.");
    this.scroller = element("div.scroller", { tabindex: "0", role: "region", "aria-label": "Journal records" },
      this.empty, this.list);
    this.newest = element("button.newest", { type: "button", hidden: true, onclick: () => this.follow.toEnd() },
      "Newest ↓");
    this.follow = new Follow(this.scroller, (following) => {
      if (following) this.newest.hidden = true;
    });
    this.folder = element("button.fold", { type: "button", "aria-controls": "journal-body",
      onclick: () => this.#unfold(this.body.hidden) }, "Journal");
    this.body = element("div.body", { id: "journal-body" }, this.#filters(), this.scroller, this.newest);
    phone.addEventListener("change", () => this.#unfold(!phone.matches));
    this.append(element("div.head", {}, element("h2", {}, this.folder), this.count), this.body);
    this.dataset.filter = this.#filter;
    this.#unfold(!phone.matches);
  }

  #unfold(open) {
    this.body.hidden = !open;
    this.folder.setAttribute("aria-expanded", String(open));
    if (open) this.follow.pin();
  }

  #filters() {
    const options = FILTERS.map(([value, label]) => {
      const radio = element("input", { type: "radio", name: "journal-filter", value, checked: value === this.#filter,
        onchange: () => this.#setFilter(value) });
      return element("label", {}, radio, element("span", {}, label));
    });
    return element("fieldset.filters", {}, element("legend.unseen", {}, "Which records"), ...options);
  }

  #setFilter(filter) {
    this.#filter = filter;
    this.dataset.filter = filter;
    this.#redraw();
  }

  #shows(row) {
    return this.#filter === "all" || row.group === this.#filter;
  }

  #redraw() {
    this.#waiting = [];
    this.#elements.clear();
    this.list.replaceChildren();
    this.follow.toEnd();
    this.#append(this.model.rows.filter((row) => this.#shows(row)).slice(-ROWS_MAX));
  }

  // Records may come many at a time: they are drawn once a frame.
  #add(row) {
    if (this.#waiting.length === 0) requestAnimationFrame(() => this.#append(this.#waiting.splice(0)));
    this.#waiting.push(row);
    if (this.#waiting.length > 2 * ROWS_MAX) this.#waiting.splice(0, ROWS_MAX);
  }

  #append(rows) {
    for (const row of rows) {
      // Its opener may be shown although the filter hides nothing else of it.
      if (row.role === "closes") showOutcome(this.#elements.get(row.partner.record.seq), row.partner);
      if (!this.#shows(row)) continue;
      const node = journalRow(row);
      this.#elements.set(row.record.seq, node);
      this.list.append(node);
    }
    while (this.list.childElementCount > ROWS_MAX) this.#dropOldest();
    const total = this.model.rows.length;
    this.count.textContent = total === 0 ? "" : `${this.model.lastSeq} ${total === 1 ? "record" : "records"}`;
    this.empty.hidden = total > 0;
    this.follow.pin();
    if (!this.follow.following) this.newest.hidden = false;
  }

  #dropOldest() {
    const oldest = this.list.firstElementChild;
    this.#elements.delete(Number(oldest.dataset.seq));
    oldest.remove();
  }
}

customElements.define("journal-view", JournalView);
