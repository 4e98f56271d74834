"""The rasteriser against one that goes through every sample and every triangle."""

import numpy as np
import pytest

from resight.people.raster import rasterise

ROWS, COLUMNS = 17, 23


def naive(points, nearness, faces, two_sided, cut):
    """Return face and weights of each covered sample, by definition."""
    result = {}
    for row in range(ROWS):
        for column in range(COLUMNS):
            place, best = np.array([column + 0.5, row + 0.5]), None
            for number, face in enumerate(faces):
                a, b, c = points[face]
                area = np.cross(np.append(b - a, 0), np.append(c - a, 0))[2]
                if area > 0 and not two_sided[number]:
                    continue
                weights = np.linalg.solve(np.stack([[*a, 1], [*b, 1], [*c, 1]], 1), [*place, 1])
                if (weights < 0).any() or weights @ cut[face] < 0:
                    continue
                near = weights @ nearness[face]
                if best is None or near > best[0]:
                    best = (near, number, weights)
            if best is not None:
                result[row * COLUMNS + column] = best
    return result


def scene(seed, triangles=14):
    random = np.random.default_rng(seed)
    size = random.uniform(1, 12, (triangles, 1, 1))
    corners = (
        random.uniform(-4, (COLUMNS + 4, ROWS + 4), (triangles, 1, 2))
        + random.normal(size=(triangles, 3, 2)) * size
    )
    points = corners.reshape(-1, 2)
    faces = random.permutation(3 * triangles).reshape(-1, 3)
    faces[::2] = np.sort(faces[::2], axis=1)
    return (
        points,
        random.uniform(0.1, 1, len(points)),
        faces,
        random.random(triangles) < 0.4,
        random.normal(0.5, 1, len(points)),
    )


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_naive_rasteriser(seed):
    points, nearness, faces, two_sided, cut = scene(seed)
    expected = naive(points, nearness, faces, two_sided, cut)
    found = rasterise(points, nearness, faces, (ROWS, COLUMNS), two_sided=two_sided, cut=cut)
    assert found.sample.tolist() == sorted(expected)
    for sample, face, weights, near in zip(
        found.sample, found.face, found.weights, found.nearness, strict=True
    ):
        assert face == expected[sample][1]
        np.testing.assert_allclose(weights, expected[sample][2], atol=1e-4)
        np.testing.assert_allclose(near, expected[sample][0], atol=1e-5)


def test_counts_what_a_group_would_cover_alone():
    points, nearness, faces, _, cut = scene(3)
    groups = np.arange(len(faces)) % 3
    everything = rasterise(points, nearness, faces, (ROWS, COLUMNS), cut=cut, groups=groups)
    for group in range(3):
        alone = rasterise(points, nearness, faces[groups == group], (ROWS, COLUMNS), cut=cut)
        assert everything.seen_alone[group] == len(alone.sample)


def test_two_triangles_that_share_an_edge_leave_no_gap():
    points = np.array([(1.3, 1.1), (20.7, 2.9), (18.2, 15.6), (2.4, 14.2)])
    faces = np.array([(0, 2, 1), (0, 3, 2)])
    found = rasterise(points, np.ones(4), faces, (ROWS, COLUMNS))
    for row in set(found.sample // COLUMNS):
        columns = found.sample[found.sample // COLUMNS == row]
        assert (np.diff(columns) == 1).all()
    assert len(found.sample) > 200


def test_nothing_in_view_is_no_fragment():
    points = np.array([(-9.0, -9.0), (-5.0, -9.0), (-9.0, -5.0)])
    found = rasterise(points, np.ones(3), np.array([(0, 2, 1)]), (ROWS, COLUMNS))
    assert len(found.sample) == len(found.face) == 0
