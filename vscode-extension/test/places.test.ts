import assert from "node:assert/strict";
import test from "node:test";
import { expanded } from "../src/places";

const known = { home: "/home/me", workspace: "/code", variables: { VENV: "/venv", EMPTY: undefined } };

test("paths are taken as people write them", () => {
  assert.equal(expanded("~/bin/lacuna", known), "/home/me/bin/lacuna");
  assert.equal(expanded("~", known), "/home/me");
  assert.equal(expanded("${workspaceFolder}/.venv/bin/lacuna", known), "/code/.venv/bin/lacuna");
  assert.equal(expanded("${userHome}/x", known), "/home/me/x");
  assert.equal(expanded("${env:VENV}/bin/lacuna", known), "/venv/bin/lacuna");
  assert.equal(expanded(".venv/bin/lacuna", known), "/code/.venv/bin/lacuna");
  assert.equal(expanded(" /opt/lacuna ", known), "/opt/lacuna");
  assert.equal(expanded("/opt/a~b", known), "/opt/a~b");
});

test("what is not known makes no path", () => {
  assert.equal(expanded("", known), undefined);
  assert.equal(expanded("${env:MISSING}/lacuna", known), undefined);
  assert.equal(expanded("${command:pick}/lacuna", known), undefined);
  assert.equal(expanded("${workspaceFolder}/lacuna", { ...known, workspace: undefined }), undefined);
  assert.equal(expanded("lacuna", { ...known, workspace: undefined }), undefined);
});
