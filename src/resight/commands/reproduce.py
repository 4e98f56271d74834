"""``resight reproduce``: train and test the rows of a published table, and print ours beside the paper's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from resight.commands.data_options import DEFAULT, DataOptions
from resight.commands.options import Flag
from resight.commands.output import print_json, print_table
from resight.commands.table_options import DEFAULT_RUNS, RunOptions, run_and_print
from resight.errors import UserError


def reproduce(
    table: str | None = None,
    *,
    list_tables: Annotated[bool, Parameter(name="--list", negative="")] = False,
    data: Annotated[Sequence[str], Parameter(negative="")] = (),
    reading: DataOptions = DEFAULT,
    rows: Annotated[Sequence[str], Parameter(negative="")] = (),
    fast: Flag = False,
    from_scratch: Flag = False,
    running: RunOptions = DEFAULT_RUNS,
) -> None:
    """Train and test the rows of a published table, and print our figures beside the paper's.

    Finished runs are not repeated, and a command that was interrupted or killed goes on where it was.

    Args:
        table: name of the table, such as sona/table5; or a YAML file, which may add rows to one (base: NAME).
        list_tables: list the tables.
        data: NAME=PATH for each data set of the table, such as market-1501=PATH; or one other data set for
            all of them: PATH, or 'synthetic' for people that are drawn. Headings then say so.
        rows: names of the rows to run; all by default.
        fast: train the recipes for minutes on a CPU (RECIPE-fast). Headings say so.
        from_scratch: train from random weights where a recipe starts from pretrained ones. Headings say so.
    """
    from resight.tables.reading import load_table, table_files

    if list_tables:
        _list(running.json)
        return
    if table is None:
        raise UserError("Name a table, such as sona/table5. 'resight reproduce --list' lists them.")
    found = load_table(table)
    from resight.tables.plan import Request

    request = Request(
        name=table if table in table_files() else Path(table).stem,
        table=found,
        data=tuple(data),
        reading={name: value for name, value in reading.arguments().items() if value is not None},
        rows=tuple(rows),
        runs=running.runs,
        epochs_scale=running.epochs_scale,
        fast=fast,
        from_scratch=from_scratch,
        other_versions=running.other_versions,
        out=running.out,
        device=running.device,
    )
    run_and_print(request, running)


def _list(json: bool) -> None:
    from resight.tables.reading import load_table, table_files

    found = [(name, load_table(name)) for name in table_files()]
    listed = [
        {
            "name": name,
            "title": table.title,
            "source": table.source,
            "rows": sum(row.recipe is not None for row in table.rows),
            "quoted": sum(row.recipe is None for row in table.rows),
            "data": list(
                dict.fromkeys(c.data.partition(",")[0] for c in table.columns if c.data is not None)
            ),
        }
        for name, table in found
    ]
    if json:
        print_json(listed)
        return
    lines = [
        [row["name"], row["title"], row["rows"], row["quoted"], ", ".join(row["data"]) or "none"]  # type: ignore[arg-type]
        for row in listed
    ]
    print_table(
        ["Table", "What it compares", "Rows", "Quoted", "Data"], lines, left=(0, 1, 4), whole_names=True
    )
