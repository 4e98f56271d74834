"""A training of a table and the ways to test it: what is stored of them, and whether they are complete."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from resight.tables.sources import Opened
from resight.training.recipe import Recipe
from resight.training.run import INFO, read_info


@dataclass(frozen=True, slots=True)
class Scoring:
    """One way to test a run: a part of its descriptor, re-ranked or not, with distractors or without."""

    branches: str | None
    rerank: bool
    distractors: int | None

    def key(self, opened: Opened) -> str:
        """Return the name of the stored scores, which is different for other test data."""
        text = json.dumps([self.branches, self.rerank, self.distractors, opened.tested_on])
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


@dataclass(slots=True)
class Job:
    """A training, and the ways to test it.

    Attributes:
        digest: of recipe, seed and training data.
        recipe: with its seed.
        trained: its data.
        folder: of the run.
        scorings: key -> the test data and how to test on them.
    """

    digest: str
    recipe: Recipe
    trained: Opened
    folder: Path
    scorings: dict[str, tuple[Opened, Scoring]] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the training is complete."""
        return (self.folder / INFO).is_file() and read_info(self.folder)["finished"] is not None

    def scores_file(self, key: str) -> Path:
        """Return the file of the scores of one way to test."""
        return self.folder / f"scores-{key}.json"

    def tested(self, key: str) -> bool:
        """Whether training and one way to test are complete."""
        return self.finished and self.scores_file(key).is_file()

    @property
    def complete(self) -> bool:
        """Whether training and all tests are complete."""
        return self.finished and all(map(self.tested, self.scorings))
