// Keeps the end of a scrolling box in view for as long as the reader stays there.

const NEAR_PX = 60;

export class Follow {
  /** Whether the reader is at the end. */
  following = true;

  /** @param {HTMLElement} scroller @param {(following: boolean) => void} onChange */
  constructor(scroller, onChange = () => {}) {
    this.scroller = scroller;
    this.onChange = onChange;
    scroller.addEventListener("scroll", () => this.#note(), { passive: true });
    // A box that shrinks loses its end from view without having been scrolled.
    new ResizeObserver(() => this.pin()).observe(scroller);
  }

  /** Call after the content has grown. */
  pin() {
    if (this.following) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  toEnd() {
    this.#set(true);
    this.pin();
  }

  #note() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.#set(scrollHeight - scrollTop - clientHeight < NEAR_PX);
  }

  #set(following) {
    if (following === this.following) return;
    this.following = following;
    this.onChange(following);
  }
}
