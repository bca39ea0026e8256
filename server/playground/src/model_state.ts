/** The header's word on the model: which one, and whether it is ready. */

import { type Health, health } from "./api";
import { any, byId } from "./dom";

const WORDS: Record<string, string> = {
  unloaded: "starting",
  loading: "loading",
  warm: "ready",
  failed: "failed",
  asleep: "asleep",
};
const SOON_MS = 1000;
const AWAY_MS = 4000;
const LATER_MS = 15_000;

let timer = 0;

/** Asks until the page goes; often while the model loads. */
export function watchModel(): void {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) void ask();
  });
  void ask();
}

async function ask(): Promise<void> {
  clearTimeout(timer);
  const found = await health();
  show(found);
  clearTimeout(timer);
  timer = window.setTimeout(() => void ask(), found?.status === "warm" ? LATER_MS : found ? SOON_MS : AWAY_MS);
}

function show(found: Health | null): void {
  const status = found?.status ?? "away";
  any("model").dataset["state"] = status;
  setText("model-name", found?.model ?? "");
  setText("model-state", found ? (WORDS[status] ?? status) : "no server");
  any("model").title = found?.message ?? "The server does not answer.";
  const progress = byId("model-progress", HTMLProgressElement);
  progress.hidden = status !== "loading";
  progress.value = found?.progress ?? 0;
}

/** A live region speaks whenever it is written to. */
function setText(id: string, text: string): void {
  if (any(id).textContent !== text) any(id).textContent = text;
}
