/** Elements of the page by their id. */

type Kind<T> = new () => T;

export function byId<T extends HTMLElement>(id: string, kind: Kind<T>): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`The page has no ${kind.name} #${id}.`);
  return found;
}

export const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
export const input = (id: string): HTMLInputElement => byId(id, HTMLInputElement);
export const select = (id: string): HTMLSelectElement => byId(id, HTMLSelectElement);
export const any = (id: string): HTMLElement => byId(id, HTMLElement);

/** Something short for the live region. */
export function say(text: string): void {
  any("status").textContent = text;
}

/** A failure; nothing where all is well. */
export function complain(text: string): void {
  const box = any("error");
  box.textContent = text;
  box.hidden = text === "";
}
