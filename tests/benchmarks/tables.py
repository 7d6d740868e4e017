"""Tables, for a terminal or for a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Table:
    """Rows of cells under a title; the first column is text, the others are numbers."""

    name: str
    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def text(self) -> str:
        """Return the table for a terminal."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.columns))]
        body = ["  ".join(_padded(cells, widths)).rstrip() for cells in lines]
        return "\n".join([self.title, "", body[0], "  ".join("-" * width for width in widths), *body[1:], ""])

    def markdown(self) -> str:
        """Return the table for a document."""
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
        return "\n".join([self.title, "", *(f"| {' | '.join(cells)} |" for cells in lines), ""])


def put(table: Table, document: str) -> str:
    """Return `document` with the table between `<!-- its name -->` and `<!-- end -->`, where it has that place."""
    before, start, rest = document.partition(f"<!-- {table.name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    return f"{before}{start}\n{table.markdown()}\n{end}{after}" if end else document


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = (
        cell.rjust(width) if place else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return [first, *others]


def number(value: float | None, digits: int = 2) -> str:
    """Return `value` with so many digits, fewer where it is large; a dash for nothing."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.{1 if value >= 10 else digits}f}"
