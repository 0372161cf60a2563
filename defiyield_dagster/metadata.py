"""What Dagster's UI shows of a table and of a result.

Belongs here: contracts and frames in Dagster's metadata types. Does not belong here: choosing the numbers.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from defiyield_core.contracts import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = 96


def table_metadata(names: Sequence[str]) -> dict[str, Any]:
    """Definition metadata of an asset that fills these tables: the name and columns of the first, and the others'
    names."""
    if not names:
        return {}
    main = table(names[0])
    columns = [
        dg.TableColumn(
            name=column.name,
            type=column.type,
            description=f"{column.doc} [{column.unit}]" if column.unit else column.doc,
            constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=main.key == (column.name,)),
        )
        for column in main.columns
    ]
    metadata: dict[str, Any] = {
        "dagster/table_name": main.name,
        "dagster/column_schema": dg.TableSchema(columns=columns),
    }
    if len(names) > 1:
        metadata["tables"] = ", ".join(names)
    return metadata


def rows_by_day(frame: pd.DataFrame) -> dict[str, int]:
    """Number of rows by ISO day."""
    counts = frame["date"].value_counts()
    return {day.date().isoformat(): int(count) for day, count in counts.items()}


def markdown_table(frame: pd.DataFrame, *, at_most: int = 30) -> dg.MarkdownMetadataValue:
    """The first rows as a markdown table."""
    shown = frame.head(at_most)
    lines = ["| " + " | ".join(map(str, shown.columns)) + " |", "|" + " --- |" * len(shown.columns)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in shown.itertuples(index=False)]
    if len(frame) > at_most:
        lines.append(f"\n{len(frame) - at_most} more rows")
    return dg.MetadataValue.md("\n".join(lines))


def picture(title: str, figure: Figure) -> dg.MarkdownMetadataValue:
    """A figure inside the event itself: the UI needs no file server to show it. A palette keeps the event small."""
    from PIL import Image

    from defiyield_core.reporting.charts import to_png

    small = io.BytesIO()
    with Image.open(io.BytesIO(to_png(figure, scale=1.0))) as image:
        image.convert("RGB").quantize(_COLOURS).save(small, "PNG", optimize=True)
    encoded = base64.b64encode(small.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")


def numbers(values: Mapping[str, float]) -> dict[str, Any]:
    """Numbers as metadata: whole ones as integers."""
    return {name: int(value) if float(value).is_integer() else float(value) for name, value in values.items()}


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat() if value == value.normalize() else value.isoformat()
    text = "" if value is None else str(value)
    return (text if len(text) <= 60 else text[:57] + "...").replace("|", "\\|").replace("\n", " ")
