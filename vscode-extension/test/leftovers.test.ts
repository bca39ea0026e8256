import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import test from "node:test";
import { isAlive, removeStale, tokenFile } from "../src/leftovers";

test("token files of processes that have ended are removed, and nothing else", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "lacuna-"));
  for (const name of ["token-7", "token-8", "token-x", "token", "environment"]) fs.writeFileSync(path.join(folder, name), "");
  removeStale(folder, (pid) => pid === 8);
  assert.deepEqual(fs.readdirSync(folder).sort(), ["environment", "token", "token-8", "token-x"]);
  removeStale(path.join(folder, "missing"), () => false);
});

test("a process that runs is known to live", () => {
  assert.ok(isAlive(process.pid));
  assert.ok(!isAlive(2 ** 30));
  assert.equal(tokenFile("/own", 7), path.join("/own", "token-7"));
});
