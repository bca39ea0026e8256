/** What an answer cost. */

import type { Answer } from "./api";
import { any, byId } from "./dom";

export function showCounters(answer: Answer): void {
  any("counters").replaceChildren(...rows(answer).flatMap(([name, value]) => [made("dt", name), made("dd", value)]));
  any("counters-none").hidden = true;
  const note = byId("note", HTMLParagraphElement);
  note.textContent = answer.note ?? (answer.truncated ? "The text is too long for the model; it saw only a part." : "");
  note.hidden = note.textContent === "";
}

function rows({ usage, timings, finish_reason }: Answer): [string, string][] {
  const rate = timings.total_s > 0 ? usage.completion_tokens / timings.total_s : 0;
  return [
    ["First token", milliseconds(timings.first_token_s)],
    ["Total", milliseconds(timings.total_s)],
    ["Speed", `${rate.toFixed(rate < 10 ? 1 : 0)} tokens/s`],
    ["New tokens", String(usage.completion_tokens)],
    ["Prompt tokens", String(usage.prompt_tokens)],
    ["Reused tokens", String(usage.reused_tokens)],
    ["Forward passes", String(usage.forward_passes)],
    ["Ended by", finish_reason.replaceAll("-", " ")],
  ];
}

function milliseconds(seconds: number): string {
  return `${(1000 * seconds).toFixed(0)} ms`;
}

function made(name: string, text: string): HTMLElement {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}
