import assert from "node:assert/strict";
import test from "node:test";
import { expand } from "../src/paths";

const variables = { home: "/home/me", workspace: "/code", environment: { VENV: "/venv", EMPTY: undefined } };

test("paths are taken as people write them", () => {
  assert.equal(expand("~/bin/lacuna", variables), "/home/me/bin/lacuna");
  assert.equal(expand("~", variables), "/home/me");
  assert.equal(expand("${workspaceFolder}/.venv/bin/lacuna", variables), "/code/.venv/bin/lacuna");
  assert.equal(expand("${userHome}/x", variables), "/home/me/x");
  assert.equal(expand("${env:VENV}/bin/lacuna", variables), "/venv/bin/lacuna");
  assert.equal(expand(".venv/bin/lacuna", variables), "/code/.venv/bin/lacuna");
  assert.equal(expand(" /opt/lacuna ", variables), "/opt/lacuna");
  assert.equal(expand("/opt/a~b", variables), "/opt/a~b");
});

test("what is not known makes no path", () => {
  assert.equal(expand("", variables), undefined);
  assert.equal(expand("${env:MISSING}/lacuna", variables), undefined);
  assert.equal(expand("${command:pick}/lacuna", variables), undefined);
  assert.equal(expand("${workspaceFolder}/lacuna", { ...variables, workspace: undefined }), undefined);
  assert.equal(expand("lacuna", { ...variables, workspace: undefined }), undefined);
});
