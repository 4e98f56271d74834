"""Clusters of crops: DBSCAN against its definition in loops, must-links, and distances against re-ranking."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from resight.evaluation.clustering import NOBODY, NearPairs, dbscan, link, near_pairs
from resight.evaluation.reranking import Reranking, rerank


def people(persons: int = 6, crops: int = 5, noise: float = 0.4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(persons, 12, generator=generator).repeat_interleave(crops, 0)
    return centres + noise * torch.randn(persons * crops, 12, generator=generator)


def pairs_of(distances: torch.Tensor) -> NearPairs:
    rows, columns = (distances <= 0.9).nonzero(as_tuple=True)
    return NearPairs(rows, columns, distances[rows, columns])


def test_pairs_have_the_jaccard_distance_of_reranking() -> None:
    features = torch.nn.functional.normalize(people(), dim=1)
    apart = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    found = near_pairs(features, 0.7, Reranking(8, 3))
    # every crop is once the query, and the others are the gallery
    for row in (0, 7, 29):
        order = [row, *(other for other in range(len(apart)) if other != row)]
        again = apart[order][:, order]
        expected = rerank(again[:1, 1:], again[:1, :1], again[1:, 1:], Reranking(8, 3, 0.0))[0]
        mine = (found.rows == row) & (found.columns != row)
        near = dict(zip(found.columns[mine].tolist(), found.distances[mine].tolist(), strict=True))
        assert {order[place + 1] for place in (expected <= 0.7).nonzero()[:, 0].tolist()} == near.keys()
        for place, distance in enumerate(expected.tolist(), 1):
            if order[place] in near:
                assert abs(near[order[place]] - distance) < 1e-4


def test_persons_become_clusters() -> None:
    labels = dbscan(near_pairs(people(), 0.5, Reranking(6, 2)), 30, 0.5, 3)
    assert labels.view(6, 5).tolist() == [[person] * 5 for person in range(6)]


@given(st.integers(0, 10**6), st.integers(1, 14), st.floats(0.2, 0.8), st.integers(2, 4))
def test_dbscan_follows_its_definition(seed: int, crops: int, within: float, least: int) -> None:
    drawn = torch.rand(crops, crops, generator=torch.Generator().manual_seed(seed))
    distances = torch.maximum(drawn, drawn.T).fill_diagonal_(0)
    labels = dbscan(pairs_of(distances), crops, within, least).tolist()
    near = [[b for b in range(crops) if distances[a, b] <= within] for a in range(crops)]
    core = [len(each) >= least for each in near]
    clusters: list[set[int]] = []
    for crop in range(crops):
        if core[crop] and not any(crop in cluster for cluster in clusters):
            reached, waiting = {crop}, [crop]
            while waiting:
                new = {b for b in near[waiting.pop()] if core[b]} - reached
                reached |= new
                waiting += new
            clusters.append(reached)
    for crop in range(crops):
        nearest = min((b for b in near[crop] if core[b]), key=lambda b: (distances[crop, b], b), default=None)
        expected = [number for number, cluster in enumerate(clusters) if nearest in cluster] or [NOBODY]
        assert [labels[crop]] == expected


def test_crops_of_a_track_are_linked_at_distance_0() -> None:
    distances = torch.tensor([[0, 0.8, 0.9, 0.9], [0.8, 0, 0.9, 0.9], [0.9, 0.9, 0, 0.9], [0.9, 0.9, 0.9, 0]])
    pairs = pairs_of(distances)
    assert dbscan(pairs, 4, 0.5, 2).tolist() == [NOBODY] * 4
    linked = link(pairs, torch.tensor([3, -1, 3, -1]))
    assert len(linked.rows) == len(pairs.rows)
    assert dbscan(linked, 4, 0.5, 2).tolist() == [0, NOBODY, 0, NOBODY]
    assert link(pairs, torch.tensor([0, 1, 2, -1])) is pairs
