/** What the buttons and the keys do. */

import type { EditorView } from "@codemirror/view";
import { accessToken, askForToken } from "./access";
import { type Ask, Failure } from "./api";
import { Candidates } from "./candidates";
import { showCounters } from "./counters";
import { button, complain, say, select } from "./dom";
import { setWritable, textOf } from "./editor";
import { holesIn, insertHole, MOST_HOLES, partsOf, type Span, withoutMarkers } from "./holes";
import { type Outcome, run } from "./run";
import { pathOf, readSettings } from "./settings";
import { hasSlots, writeFills } from "./slots";

export class Actions {
  private readonly candidates = new Candidates((candidate) => this.choose(candidate));
  private running: AbortController | null = null;
  private outcome: Outcome | null = null;
  private again: () => void = () => undefined;

  constructor(private readonly view: EditorView) {}

  infill(): void {
    const spans = holesIn(this.view.state);
    if (this.running) return;
    if (!spans.length) {
      insertHole(this.view);
      say("There was no hole; one is at the cursor now. Press Infill again.");
    } else if (spans.length > MOST_HOLES) {
      complain(`At most ${MOST_HOLES} holes can be filled at a time.`);
    } else {
      this.again = () => this.infill();
      const what = spans.length === 1 ? "the hole" : `${spans.length} holes`;
      void this.start({ parts: partsOf(textOf(this.view)) }, spans, `Filling ${what}…`);
    }
  }

  extend(): void {
    if (this.running) return;
    this.again = () => this.extend();
    const end = this.view.state.doc.length;
    const data = withoutMarkers(textOf(this.view));
    void this.start({ data }, [{ from: end, to: end }], "Continuing at the end…");
  }

  /** Infill where there are holes, else Extend. */
  complete(): void {
    if (holesIn(this.view.state).length) this.infill();
    else this.extend();
  }

  insertHole(): void {
    if (this.running) return;
    insertHole(this.view);
    say("Inserted a hole.");
  }

  /** False when nothing runs. */
  stop(): boolean {
    if (!this.running) return false;
    this.running.abort();
    return true;
  }

  retry(): void {
    this.again();
  }

  step(by: number): boolean {
    return this.candidates.step(by);
  }

  /** To be called after each change: an edited answer has no candidates any more. */
  changed(): void {
    if (!this.outcome || this.running || hasSlots(this.view.state)) return;
    this.outcome = null;
    this.candidates.show(0);
  }

  private async start(where: Partial<Ask>, spans: readonly Span[], doing: string): Promise<void> {
    const running = new AbortController();
    this.begin(running, doing);
    try {
      const outcome = await run(this.view, { ...where, ...asked() }, spans, accessToken(), running.signal);
      this.finish(outcome);
    } catch (error) {
      this.fail(error, running.signal);
    } finally {
      this.end();
    }
  }

  private begin(running: AbortController, doing: string): void {
    this.running = running;
    this.outcome = null;
    this.candidates.show(0);
    complain("");
    say(doing);
    this.lock(true);
  }

  private finish(outcome: Outcome): void {
    showCounters(outcome.answer);
    const { completion_tokens: count } = outcome.answer.usage;
    const nothing = outcome.candidates[0]?.every((tokens) => tokens.length === 0);
    say(nothing ? "Done: the model would write nothing here." : `Done: ${count} ${count === 1 ? "token" : "tokens"}.`);
    if (outcome.candidates.length < 2) return;
    this.outcome = outcome;
    this.candidates.show(outcome.candidates.length);
  }

  private fail(error: unknown, signal: AbortSignal): void {
    if (signal.aborted) {
      say("Stopped. What had come is kept.");
      return;
    }
    say("");
    complain(error instanceof Error ? error.message : String(error));
    if (error instanceof Failure && error.status === 401) askForToken();
  }

  private end(): void {
    this.running = null;
    this.lock(false);
  }

  private choose(candidate: number): void {
    const tokens = this.outcome?.candidates[candidate];
    if (!this.outcome || !tokens) return;
    writeFills(this.view, tokens, Date.now());
    say(`Candidate ${candidate + 1} of ${this.outcome.candidates.length}.`);
  }

  /** While an answer is written, nothing else is. Focus stays on a button that can be pressed. */
  private lock(locked: boolean): void {
    const focused = document.activeElement;
    setWritable(this.view, !locked);
    button("stop").disabled = !locked;
    for (const id of ["infill", "extend", "hole"]) button(id).disabled = locked;
    select("examples").disabled = locked;
    if (locked && focused instanceof HTMLButtonElement && focused.disabled) {
      button("stop").focus();
      this.refocus = focused;
    } else if (!locked && (focused === button("stop") || focused === document.body)) {
      this.refocus?.focus({ preventScroll: true });
    }
    if (!locked) this.refocus = null;
  }

  private refocus: HTMLButtonElement | null = null;
}

function asked(): Omit<Ask, "data" | "parts"> {
  const { length, temperature, topP, count, language } = readSettings();
  return { max_tokens: length, temperature, top_p: topP, n: count, path: pathOf(language) };
}
