"""Draw the pictures of the README from the demo's run, which shows synthetic people only.

make demo && python docs/images/draw.py runs/demo
"""

import sys
from pathlib import Path

import resight
from resight.commands.demo import PEOPLE, RUN
from resight.report.lists import ranked_lists, ranked_lists_png


def main(demo: Path) -> None:
    benchmark = resight.open_benchmark(demo / PEOPLE)
    embedded = resight.embed_benchmark(resight.Run.open(demo / RUN).load_model(), benchmark)
    scores = resight.evaluate(embedded.query, embedded.gallery, benchmark.protocol)
    lists = ranked_lists(embedded, scores, benchmark.protocol, count=1, hits=9)
    ranked_lists_png(lists, Path(__file__).with_name("ranked-lists.png"), width=64, scale=2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
