/** The legend of the tokens' colours. */

import { SHADES } from "./tokens";

export function drawLegend(): void {
  const step = 100 / SHADES;
  const items = Array.from({ length: SHADES }, (_, shade) => {
    const item = document.createElement("li");
    item.className = `p${shade}`;
    item.textContent = `${shade * step}–${(shade + 1) * step}`;
    return item;
  });
  document.querySelector(".legend")?.replaceChildren(...items.reverse());
}
