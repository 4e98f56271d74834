"""The same scores, obviously: one query after the other, one gallery crop after the other, a full sort."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from resight.data.benchmark import Protocol
from resight.evaluation.embedded import Embedded


@dataclass
class PlainQuery:
    """The gallery in one query's order, without what the protocol ignores."""

    indices: list[int]
    right: list[bool]

    @property
    def ranks(self) -> list[int]:
        return [rank for rank, right in enumerate(self.right, 1) if right]


def rank_plainly(
    query: Embedded, gallery: Embedded, protocol: Protocol, metric: str
) -> tuple[list[PlainQuery], Counter[str]]:
    """Return every query's order, and how often each rule removed something."""
    removed: Counter[str] = Counter(junk_crops=sum(person == -1 for person in gallery.persons.tolist()))
    results = []
    for q in range(len(query)):
        person = int(query.persons[q])
        order, fates = [], []
        for g in range(len(gallery)):
            if gallery.persons[g] == -1:
                continue
            same_person = person > 0 and int(gallery.persons[g]) == person
            if query.items is not None and gallery.items is not None and query.items[q] == gallery.items[g]:
                removed["itself_pairs"] += 1
                fates += ["itself"] * same_person
                continue
            if same_person and protocol.cross_camera and query.cameras[q] == gallery.cameras[g]:
                removed["same_camera_pairs"] += 1
                fates.append("same camera")
                continue
            fates += ["right"] * same_person
            far = distance(query.features[q].double().numpy(), gallery.features[g].double().numpy(), metric)
            order.append((far, same_person, g))  # sorts False before True: of equals, wrong ones come first
        order.sort()
        if person <= 0:
            removed["not_a_person_queries"] += 1
        elif not fates:
            removed["missing_person_queries"] += 1
        elif "right" not in fates:
            camera = "same camera" in fates
            removed["only_same_camera_queries" if camera else "only_itself_queries"] += 1
        results.append(PlainQuery([g for _, _, g in order], [right for _, right, _ in order]))
    return results, removed


def distance(a: np.ndarray, b: np.ndarray, metric: str) -> float:
    if metric == "cosine":
        return float(-np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))
    return float(np.linalg.norm(a - b))


def mean_precision(right: list[bool]) -> float:
    """Return the mean of the precision at each match."""
    return float(np.mean([np.mean(right[: place + 1]) for place in range(len(right)) if right[place]]))


def trapezoids(right: list[bool]) -> float:
    """Return the average precision as compute_AP.m of Market-1501 does it, line by line."""
    ap, old_recall, old_precision, found = 0.0, 0.0, 1.0, 0
    for place, is_right in enumerate(right):
        found += is_right
        recall = found / sum(right)
        precision = found / (place + 1)
        ap += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return ap
