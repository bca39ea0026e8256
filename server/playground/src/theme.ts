/** Light or dark: as the system has it, until the button says otherwise. */

import { button } from "./dom";

type Theme = "light" | "dark";

const KEY = "lacuna-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export function setUpTheme(): void {
  const kept = remembered();
  if (kept) document.documentElement.dataset["theme"] = kept;
  button("theme").addEventListener("click", toggle);
  system.addEventListener("change", label);
  label();
}

function toggle(): void {
  const theme = current() === "dark" ? "light" : "dark";
  document.documentElement.dataset["theme"] = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Without storage it holds as long as the page.
  }
  label();
}

function current(): Theme {
  const chosen = document.documentElement.dataset["theme"];
  if (chosen === "light" || chosen === "dark") return chosen;
  return system.matches ? "dark" : "light";
}

function remembered(): Theme | null {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : null;
  } catch {
    return null;
  }
}

function label(): void {
  const other = current() === "dark" ? "light" : "dark";
  button("theme").title = `Switch to the ${other} theme`;
  button("theme").setAttribute("aria-label", button("theme").title);
}
