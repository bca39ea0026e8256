import assert from "node:assert/strict";
import test from "node:test";
import { environment, forServer, serverName } from "../src/settings";

test("names are those of the server", () => {
  assert.equal(serverName("maxTokens"), "max_tokens");
  assert.equal(serverName("idleUnloadS"), "idle_unload_s");
  assert.equal(serverName("engine.url"), "engine");
  assert.equal(serverName("engine.kind"), "engine_kind");
  assert.equal(serverName("engine.caFile"), "engine_ca_file");
});

test("what only the environment may say is not told, nor what is the extension's own, nor what is not set", () => {
  const section = {
    path: "/x", bundle: "", maxTokens: 9, revision: null, trustRemoteCode: true, logLevel: "debug",
    languages: { python: false }, engine: { url: "http://gpu:5000", kind: "tgi", caFile: "/ca.pem" },
  };
  assert.deepEqual(forServer(section), { max_tokens: 9, languages: { python: false }, engine_kind: "tgi" });
  assert.deepEqual(environment(section), {
    PYTHONSAFEPATH: "1", PYTHONUNBUFFERED: "1", LACUNA_TRUST_REMOTE_CODE: "true", LACUNA_LOG_LEVEL: "debug",
    LACUNA_ENGINE: "http://gpu:5000", LACUNA_ENGINE_CA_FILE: "/ca.pem",
  });
});

test("the token's file goes along only with an engine", () => {
  assert.equal(environment({ engine: { url: "http://gpu:5000" } }, "/t").LACUNA_ENGINE_TOKEN_FILE, "/t");
  assert.equal(environment({ engine: { url: null } }, "/t").LACUNA_ENGINE_TOKEN_FILE, undefined);
});
