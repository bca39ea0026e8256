/** The buttons that switch between the candidates of an answer. */

import { any } from "./dom";

export class Candidates {
  private readonly box = any("candidates");
  private count = 0;
  private chosen = 0;

  constructor(private readonly choose: (candidate: number) => void) {
    this.box.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Shows buttons for so many; none for one. The first is chosen. */
  show(count: number): void {
    this.count = count > 1 ? count : 0;
    this.chosen = 0;
    this.box.hidden = this.count === 0;
    this.box.replaceChildren(...(this.count ? [this.label(), ...this.buttons()] : []));
    this.mark();
  }

  /** Goes `by` further, around the end. */
  step(by: number): boolean {
    if (!this.count) return false;
    this.go((this.chosen + by + this.count) % this.count);
    return true;
  }

  private go(candidate: number): void {
    this.chosen = candidate;
    this.choose(candidate);
    this.mark();
  }

  private label(): HTMLElement {
    const label = document.createElement("span");
    label.textContent = "Candidates";
    return label;
  }

  private buttons(): HTMLButtonElement[] {
    return Array.from({ length: this.count }, (_, candidate) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = String(candidate + 1);
      button.title = `Candidate ${candidate + 1} of ${this.count} (arrow keys; in the editor Alt+[ and Alt+])`;
      button.addEventListener("click", () => this.go(candidate));
      return button;
    });
  }

  private mark(): void {
    this.box.querySelectorAll("button").forEach((button, candidate) => {
      button.setAttribute("aria-pressed", String(candidate === this.chosen));
    });
  }

  private onKey(event: KeyboardEvent): void {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!by || !this.step(by)) return;
    event.preventDefault();
    this.box.querySelectorAll("button")[this.chosen]?.focus();
  }
}
