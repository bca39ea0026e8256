/** Texts to begin with. */

import { MARKER } from "./holes";

export interface Example {
  readonly name: string;
  readonly text: string;
}

export const EXAMPLES: readonly Example[] = [
  {
    name: "A command line",
    text: `import argparse


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    args = ${MARKER}
    print(args.path)


if __name__ == ${MARKER}
    main()
`,
  },
  {
    name: "A test",
    text: `import unittest


class TestAdd(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(1, 2), 3)

    def test_negative(self):
        ${MARKER}

    def test_zero(self):
        self.assertEqual(add(0, 0), 0)
`,
  },
  {
    name: "A class",
    text: `class Point:
    def __init__(self, x, y):
        self.x = ${MARKER}
        self.y = ${MARKER}

    def move(self, dx, dy):
        return Point(self.x + dx, self.y + dy)
`,
  },
  {
    name: "Read a file",
    text: `import json
from pathlib import Path


def load(path):
    """Read the stations from a JSON file."""
    data = ${MARKER}
    return [Station(item["name"], item["readings"]) for item in data]
`,
  },
  {
    name: "Name a module",
    text: `try:
    import ${MARKER}
except ImportError:
    import json
`,
  },
  {
    name: "Extend a class",
    text: `class Tree:
    def __init__(self, name, children):
        self.name = name
        self.children = children

    def __eq__(self, other):
`,
  },
];
