import assert from "node:assert/strict";
import test from "node:test";
import { Serial } from "../src/serial";

test("a step that fails does not keep the next ones from running", async () => {
  const serial = new Serial();
  await assert.rejects(serial.run(() => Promise.reject(new Error("no such program"))), /no such program/);
  assert.equal(await serial.run(() => Promise.resolve("started")), "started");
});

test("steps run one after the other", async () => {
  const serial = new Serial();
  const order: string[] = [];
  const step = (name: string) => async (): Promise<void> => {
    order.push(`${name} begins`);
    await new Promise(setImmediate);
    order.push(`${name} ends`);
  };
  await Promise.all([serial.run(step("a")), serial.run(step("b"))]);
  assert.deepEqual(order, ["a begins", "a ends", "b begins", "b ends"]);
});
