"""Daily temperatures: the example that `make run` completes at the mark."""

import json
from pathlib import Path


class Station:
    """A weather station and what it measured, in degrees Celsius."""

    def __init__(self, name, readings):
        self.name = name
        self.readings = readings

    def mean(self):
        return sum(self.readings) / len(self.readings)


def load(path):
    data = json.loads(Path(path).read_text(encoding="utf-8"))
    return [Station(item["name"], item["readings"]) for<FILL>


if __name__ == "__main__":
    for station in load("stations.json"):
        print(station.name, station.mean())
