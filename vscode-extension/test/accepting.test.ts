import assert from "node:assert/strict";
import test from "node:test";
import { Offer } from "../src/accepting";

test("parts add up, in characters, whatever the line ends", () => {
  const offer = new Offer([{ id: "1", text: "foo(📦)\nbar" }, { id: "2", text: "fun" }]);
  assert.equal(offer.started, false);
  assert.deepEqual(offer.accept("foo("), { id: "1", length: 4 });
  assert.deepEqual(offer.accept("📦)"), { id: "1", length: 6 });
  assert.deepEqual(offer.accept("\r\nbar"), { id: "1", length: 10 });
  assert.equal(offer.started, true);
});

test("another candidate is told by its own id, and what is of none not at all", () => {
  const offer = new Offer([{ id: "1", text: "foo" }, { id: "2", text: "fun" }]);
  assert.equal(offer.accept("x"), undefined);
  assert.equal(offer.accept(""), undefined);
  assert.deepEqual(offer.accept("fu"), { id: "2", length: 2 });
});
