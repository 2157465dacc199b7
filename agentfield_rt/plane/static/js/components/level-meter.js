// How loud one side is: the last seconds as a row of bars, the newest on the right.

import { element } from "./dom.js";

const BARS = 36;
const BAR_MS = 60;
const ANNOUNCE_MS = 500;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

class LevelMeter extends HTMLElement {
  #levels = new Array(BARS).fill(0);
  #bars = [];
  #running = false;
  #shiftedAt = 0;
  #announcedAt = 0;

  /** @param {string} name of the side @param {() => number} read its level now, 0 to 1 */
  attach(name, read) {
    this.read = read;
    this.setAttribute("role", "meter");
    this.setAttribute("aria-label", `${name}: loudness`);
    this.setAttribute("aria-valuemin", "0");
    this.setAttribute("aria-valuemax", "100");
    this.setAttribute("aria-valuenow", "0");
    this.#bars = this.#levels.map(() => element("i"));
    this.replaceChildren(...this.#bars);
  }

  /** Measures while there is something to measure. */
  set running(running) {
    if (running === this.#running) return;
    this.#running = running;
    if (running) requestAnimationFrame((now) => this.#frame(now));
    else this.#clear();
  }

  #clear() {
    this.#levels.fill(0);
    this.#draw();
    this.setAttribute("aria-valuenow", "0");
  }

  #frame(now) {
    if (!this.#running || !this.isConnected) return;
    const level = this.read();
    this.#levels[BARS - 1] = Math.max(this.#levels[BARS - 1], level);
    const still = calm.matches;
    if (now - this.#shiftedAt >= (still ? 4 * BAR_MS : BAR_MS)) {
      this.#shiftedAt = now;
      // Without motion the bars fill from the left like a gauge instead of scrolling.
      if (still) this.#levels = this.#levels.map((_, index) => (index < level * BARS ? 0.5 : 0));
      else this.#levels.push(level);
      if (!still) this.#levels.shift();
      this.#draw();
    }
    if (now - this.#announcedAt >= ANNOUNCE_MS) {
      this.#announcedAt = now;
      this.setAttribute("aria-valuenow", String(Math.round(level * 100)));
    }
    requestAnimationFrame((next) => this.#frame(next));
  }

  #draw() {
    this.#bars.forEach((bar, index) => {
      bar.style.transform = `scaleY(${Math.max(0.08, this.#levels[index]).toFixed(3)})`;
    });
  }
}

customElements.define("level-meter", LevelMeter);
