/** Puts the page together. */

import { setUpAccess } from "./access";
import { Actions } from "./actions";
import { any, button, say, select } from "./dom";
import { createEditor, replaceText, setLanguage, textOf } from "./editor";
import { EXAMPLES } from "./examples";
import { withoutMarkers } from "./holes";
import { bindKeys } from "./keys";
import { drawLegend } from "./legend";
import { watchModel } from "./model_state";
import { readSettings, setUpSettings, writeSettings } from "./settings";
import { decodeShared, encodeShared, toClipboard } from "./share";
import { setUpTheme } from "./theme";
import { clearTokens } from "./tokens";

declare global {
  interface Window {
    lacuna: { text(): string; setText(text: string): void };
  }
}

const view = createEditor(any("editor"), (update) => {
  if (update.docChanged) actions.changed();
});
const actions = new Actions(view);

function load(text: string): void {
  actions.stop();
  view.dispatch({ effects: clearTokens.of(null) });
  replaceText(view, text);
}

function followLanguage(): void {
  setLanguage(view, readSettings().language);
}

function setUpExamples(): void {
  const menu = select("examples");
  menu.append(...EXAMPLES.map(({ name }, at) => new Option(name, String(at))));
  menu.addEventListener("change", () => {
    const example = EXAMPLES[Number(menu.value)];
    if (!menu.value || !example) return;
    writeSettings({ language: "python" });
    followLanguage();
    load(example.text);
    say(`Loaded “${example.name}”.`);
  });
}

/** Whether the address had something to load. */
function loadFromAddress(): boolean {
  const shared = decodeShared(location.hash);
  if (!shared) return false;
  writeSettings(shared.settings);
  followLanguage();
  load(shared.text);
  select("examples").value = "";
  return true;
}

async function copy(): Promise<void> {
  const done = await toClipboard(withoutMarkers(textOf(view)));
  say(done ? "Copied the text." : "The browser did not let us copy.");
}

async function share(): Promise<void> {
  history.replaceState(null, "", `#${encodeShared(textOf(view), readSettings())}`);
  const done = await toClipboard(location.href);
  say(done ? "Copied a link to this text." : "The link is in the address bar.");
}

function loadFirst(): void {
  if (loadFromAddress()) return;
  select("examples").value = "0";
  load(EXAMPLES[0]?.text ?? "");
}

setUpTheme();
setUpSettings(followLanguage);
setUpExamples();
setUpAccess(() => actions.retry());
drawLegend();
bindKeys(view, actions);
button("infill").addEventListener("click", () => actions.infill());
button("extend").addEventListener("click", () => actions.extend());
button("hole").addEventListener("click", () => actions.insertHole());
button("stop").addEventListener("click", () => actions.stop());
button("clear").addEventListener("click", () => view.dispatch({ effects: clearTokens.of(null) }));
button("copy").addEventListener("click", () => void copy());
button("share").addEventListener("click", () => void share());
window.addEventListener("hashchange", loadFromAddress);
loadFirst();
watchModel();
window.lacuna = { text: () => textOf(view), setText: load };
