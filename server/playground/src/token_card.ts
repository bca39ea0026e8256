/** What the tooltip of a token shows: how likely it was, and what else was likely. */

import type { Alternative, Token } from "./api";

const VISIBLE: Record<string, string> = { " ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍" };

export function tokenCard(token: Token): HTMLElement {
  const card = element("div", "card-token");
  card.setAttribute("role", "tooltip");
  if (!token.alternatives.length) {
    card.append(element("p", "none", "No alternatives are known here."));
    return card;
  }
  const list = element("ol", "alternatives");
  for (const choice of choices(token)) list.append(row(choice, isChosen(choice, token)));
  card.append(list);
  return card;
}

/** The alternatives, and the token itself where it is none of them. */
function choices(token: Token): readonly Alternative[] {
  const known = token.alternatives.some((other) => isChosen(other, token));
  return known ? token.alternatives : [...token.alternatives, token];
}

/** The server may have cut a blank off the token's text. */
function isChosen(choice: Alternative, token: Token): boolean {
  if (choice.text === token.text) return true;
  const close = Math.abs(choice.probability - token.probability) < 1e-6;
  return close && token.text !== "" && choice.text.includes(token.text);
}

function row(choice: Alternative, chosen: boolean): HTMLElement {
  const item = element("li", chosen ? "chosen" : "");
  const bar = element("span", "bar");
  bar.style.setProperty("--share", String(choice.probability));
  item.append(element("code", "", visible(choice.text)), bar, element("span", "share", percent(choice.probability)));
  if (chosen) item.append(element("span", "unseen", "(chosen)"));
  return item;
}

function visible(text: string): string {
  return text === "" ? "(nothing)" : text.replace(/[ \n\t\r]/g, (blank) => VISIBLE[blank] ?? blank);
}

function percent(probability: number): string {
  const value = 100 * probability;
  return value > 0 && value < 0.1 ? "<0.1 %" : `${value.toFixed(1)} %`;
}

function element(name: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}
