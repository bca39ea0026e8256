/** The sliders and the language. */

import { any, input, select } from "./dom";
import type { Language } from "./editor";

export interface Settings {
  readonly length: number;
  readonly temperature: number;
  readonly topP: number;
  readonly count: number;
  readonly language: Language;
}

interface Slider {
  readonly id: string;
  readonly name: Exclude<keyof Settings, "language">;
  readonly digits: number;
}

const SLIDERS: readonly Slider[] = [
  { id: "length", name: "length", digits: 0 },
  { id: "temperature", name: "temperature", digits: 2 },
  { id: "top-p", name: "topP", digits: 2 },
  { id: "count", name: "count", digits: 0 },
];
const ENDINGS: Record<Language, string> = { python: "py", javascript: "js" };

export function readSettings(): Settings {
  const [length, temperature, topP, count] = SLIDERS.map(({ id }) => input(id).valueAsNumber);
  return {
    length: length ?? 48,
    temperature: temperature ?? 0,
    topP: topP ?? 0.95,
    count: count ?? 1,
    language: select("language").value as Language,
  };
}

/** Sets what is given; the sliders themselves keep it within their bounds. */
export function writeSettings(settings: Partial<Settings>): void {
  for (const { id, name } of SLIDERS) {
    const value = settings[name];
    if (value !== undefined) input(id).value = String(value);
  }
  if (settings.language) select("language").value = settings.language;
  for (const slider of SLIDERS) showNumber(slider);
}

export function pathOf(language: Language): string {
  return `untitled.${ENDINGS[language]}`;
}

export function isLanguage(value: unknown): value is Language {
  return typeof value === "string" && Object.hasOwn(ENDINGS, value);
}

export function setUpSettings(languageChanged: () => void): void {
  for (const slider of SLIDERS) {
    input(slider.id).addEventListener("input", () => showNumber(slider));
    showNumber(slider);
  }
  select("language").addEventListener("change", languageChanged);
}

function showNumber({ id, digits }: Slider): void {
  const shown = document.querySelector(`output[for="${id}"]`);
  if (shown) shown.textContent = input(id).valueAsNumber.toFixed(digits);
  const { count, temperature } = readSettings();
  any("same").hidden = count === 1 || temperature > 0;
}
