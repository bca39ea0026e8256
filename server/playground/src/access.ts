/** The token of a server that wants one; kept as long as the tab. */

import { byId, input } from "./dom";

const KEY = "lacuna-token";
let token = "";

export function accessToken(): string {
  return token;
}

export function askForToken(): void {
  byId("token-form", HTMLFormElement).hidden = false;
  input("token").focus();
}

/** `given` is called when there is a new token. */
export function setUpAccess(given: () => void): void {
  token = kept();
  byId("token-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    keep(input("token").value.trim());
    byId("token-form", HTMLFormElement).hidden = true;
    given();
  });
}

function kept(): string {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

function keep(given: string): void {
  token = given;
  try {
    sessionStorage.setItem(KEY, given);
  } catch {
    // Without storage it holds as long as the page.
  }
}
