"""`lacuna doctor`: prints the findings as a table."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from lacuna_server.commands.show import print_table, progress
from lacuna_server.doctor import Status, examine
from lacuna_server.settings import Settings

_STYLES = {Status.GOOD: "green", Status.NOTE: "yellow", Status.BAD: "bold red"}


def run(settings: Settings) -> int:
    """Prints the findings. Returns the exit code: 1 if any of them is bad, else 0."""
    with progress("checking"):
        findings = list(examine(settings))
    table = Table("", "what", "found", "what to do", box=None, pad_edge=False)
    for finding in findings:
        verdict = Text(finding.verdict, style=_STYLES[finding.verdict])
        table.add_row(verdict, finding.subject, finding.found, finding.remedy)
    print_table(table)
    return int(any(finding.verdict is Status.BAD for finding in findings))
