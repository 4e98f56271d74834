"""Write docs/reproduction.md from the stored results in benchmarks/results/tables.

python scripts/reproduction_page.py
"""

from collections import Counter
from pathlib import Path

from resight.tables.formats import markdown
from resight.tables.reading import load_table, table_files
from resight.tables.results import TableResult, load_result
from resight.tables.sheets import claim_line

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "tables"
PAGE = ROOT / "docs" / "reproduction.md"

HEAD = """# Reproduction of the papers' tables

What was run of the papers' tables, and what came of it. This page is written by
`scripts/reproduction_page.py` from the results in `benchmarks/results/tables`, which `resight reproduce` made
(with `--write`): they have every run with its seed, its scores, the SHA-256 of the list of files that it was
trained on, its processor and its versions. The SHA-256 is of one line for each file: its path, size, person
and camera.
The command for one with three seeds:
`resight reproduce sharp/table1 --data synthetic --fast --runs 3`; `--rows` names the rows below,
if some were not run. On real crops `--data cuhk03-spread` names the folder, and HAN's tables have
`--epochs-scale 0.4`.
[Reproduce published tables](guides/reproduce.md) says what the columns mean.

Nothing here was trained as in the papers. The data are others or fewer, and the `-fast` recipes train for 8
to 20 epochs from random weights; all methods but HAN have ResNet-18 and crops of 96x48 instead of ResNet-50
and larger ones (`resight recipe show sal-fast` prints one). So figures cannot be compared with the paper's;
the sign and the order of *differences* between rows can. With one run a row, a sign is a first hint. An
interval that includes 0 leaves open whether there is an effect.
"""

DATA = {
    "synthetic": "what `--data synthetic` draws: 200 persons to train on, 120 to test on",
    "cuhk03-spread": "real crops of CUHK03's training half (detected boxes of the new protocol, at 64x128): "
    "every seventh person is tested (109; 217 queries have a match among 834 crops), the other 658 are "
    "trained on (6,313 crops). `scripts/cuhk03_spread.py` makes the folder",
}

IN_SHORT = """In short. There are three seeds on both data, but one of HAN and Sharp attention on real
crops, and of HAN's Table 9 on drawn people:

- **SAL**: dilation and several levels of features help on both data, as much as in the paper. Quadruplets
  help on real crops, by more than in the paper; on drawn people it is open. The constraint makes the maps
  alike (`resight explain` prints by how much), but no gain shows on either data: on real crops the interval
  of three seeds ends at 0.
- **SONA**: neither DropBlock+ nor second-order attention shows a gain on either data. On real crops,
  DropBlock+ raises the training loss, as in the paper. The fast recipes have maps of 12x6 positions instead
  of 48x16, on which attention between positions may matter less.
- **Sharp attention**, on drawn people: masks alone lose most of what the baseline learns, adding the trunk's
  features wins it back as the paper says, and the context units lose a little. All parts together lose.
  On real crops neither network learned much.
- **SN**: a strong squeeze loss helps on both data: with the weight 10, the mAP is 4 and 9 points higher than
  with the paper's optimum, 0.1, for which no gain over 0 shows. Ours may lie beyond 10, the largest that was
  tried.
- **HAN**: on drawn people, both branches together are better than each alone, as in the paper. Whether their
  interaction helps is open there (all three differences are positive, with intervals that include 0); on real
  crops it hardly does. The paper's collapse of the local branch without it does not show: both together are
  better than the global one all the same. Channel attention helps on both data, to whatever it is added.
  Spatial attention alone and the regions do not.
- **Re-ranking** improves the mAP of SAL, SN and HAN on both data.
"""

NOT_RUN = (
    "No row of these tables has been trained. Without data, `sharp/table2` prints its parameters and "
    "`sona/inference` its times."
)

REMARKS = {
    (
        "sharp/table1",
        "cuhk03-spread",
    ): "both trainings were near their margin at the end (triplet loss 0.52 and "
    "0.53, margin 0.5). From random weights, triplets alone had hardly begun to tell so many real persons "
    "apart, so that the difference says little about attention.",
}
"""Table and data -> what a reader of its claims should know."""


def page() -> str:
    """Return the page as Markdown."""
    found = [load_result(path) for path in sorted(RESULTS.glob("*.json"))]
    used = {result.substitute for result in found}
    data = "\n".join(f"- *{name}*: {text}." for name, text in DATA.items() if name in used)
    parts = [HEAD, f"{data}\n", *_effects(found)]
    for result in found:
        on = f", on {result.substitute}" if result.substitute else ""
        seeds = len({run.seed for run in result.runs})
        often = f", {seeds} seeds" if seeds > 1 else ""
        parts += [
            f"## {result.name}{on}{often}\n",
            markdown(result).partition("\n\n")[2],  # without its heading
            *_runs(result),
            *_rows_not_run(result),
        ]
    missing = [name for name in table_files() if name not in {result.name for result in found}]
    if missing:
        listed = "\n".join(f"- `{name}`: {load_table(name).title}" for name in missing)
        parts.append(f"## Not run\n\n{NOT_RUN}\n\n{listed}\n")
    return "\n".join(parts)


def _effects(found: list[TableResult]) -> list[str]:
    """Return a table of the papers' claims, beside ours on each data."""
    used = [name for name in DATA if any(result.substitute == name for result in found)]
    claims: dict[str, dict[str | None, str]] = {}
    counts = Counter[str]()
    for result in found:
        seeds = len({run.seed for run in result.runs})
        for one in result.claims:
            if one.ours is None:
                continue
            claim, _, ours, paper, shows = claim_line(one)
            name = f"| {claim.removesuffix(')')}, `{result.name}`) | {paper} |"
            several = f", {seeds} seeds" if seeds > 1 else ""
            claims.setdefault(name, {})[result.substitute] = f"{ours}: *{shows}*{several}"
            counts[one.shows] += 1
    lines = [f"{name} {' | '.join(on.get(data, '') for data in used)} |" for name, on in claims.items()]
    counted = ", ".join(f"{count} *{verdict}*" for verdict, count in counts.most_common())
    return [
        "## Which effects show\n",
        "What the papers say about pairs of rows, and the difference between the two: in mAP, if the claim "
        "does not say otherwise. *yes*: the 95 % interval over seeds is on the claim's side of 0; "
        "*opposite*: on the other side; *no*: it includes 0. One run has no interval: then only the sign is "
        f"compared. Of {counts.total()} differences: {counted}. Of so many intervals at 95 %, one or two "
        "miss the true difference by chance.\n",
        IN_SHORT,
        "\n".join([f"| Claim | Paper | {' | '.join(used)} |", f"|---|---:|{'---|' * len(used)}", *lines])
        + "\n",
        *(f"`{table}` on {data}: {text}\n" for (table, data), text in REMARKS.items()),
    ]


def _runs(result: TableResult) -> list[str]:
    """Return a sentence about the trainings."""
    if not result.runs:
        return []
    hours = sum(run.seconds for run in result.runs) / 3600
    processors = ", ".join(sorted({str(run.machine["gpu"] or run.machine["cpu"]) for run in result.runs}))
    lists = ", ".join(f"`{digest}`" for digest in sorted({run.trained_on for run in result.runs}))
    trained = f"Runs: {len(result.runs)}, {hours:.1f} hours of training in all. Processor: {processors}."
    return [f"{trained} SHA-256 of the list of files trained on: {lists}.\n"]


def _rows_not_run(result: TableResult) -> list[str]:
    """Return a sentence about the rows of ours that the result does not have."""
    there = {row.name for row in result.rows}
    missing = [row.name for row in load_table(result.name).rows if row.recipe and row.name not in there]
    return [f"Not run: {'; '.join(missing)}.\n"] if missing else []


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
