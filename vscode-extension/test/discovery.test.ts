import assert from "node:assert/strict";
import test from "node:test";
import { discover } from "../src/discovery";

const locations = { setting: "", python: "/env/bin/python", searchPath: "relative::/usr/bin:/opt/bin", managed: "/own", windows: false };
const having = (...files: string[]) => (file: string): boolean => files.includes(file);

test("the chosen environment comes before the PATH, and the extension's own one last", () => {
  const all = ["/env/bin/lacuna", "/opt/bin/lacuna", "/own/bin/lacuna"];
  assert.deepEqual(discover(locations, having(...all)), { command: "/env/bin/lacuna", source: "python" });
  assert.deepEqual(discover(locations, having(...all.slice(1))), { command: "/opt/bin/lacuna", source: "path" });
  assert.deepEqual(discover(locations, having(...all.slice(2))), { command: "/own/bin/lacuna", source: "managed" });
  assert.equal(discover(locations, having()), undefined);
});

test("a path that was set is the only one that counts", () => {
  const set = { ...locations, setting: "/set/lacuna" };
  assert.deepEqual(discover(set, having("/set/lacuna", "/opt/bin/lacuna")), { command: "/set/lacuna", source: "setting" });
  assert.equal(discover(set, having("/opt/bin/lacuna")), undefined);
});

test("nothing of the workspace is run: relative folders of the PATH are left out", () => {
  assert.equal(discover({ ...locations, python: undefined }, having("relative/lacuna", "lacuna")), undefined);
});
