"""Single crops: functions of their numbers alone, within the bounds that make a set learnable."""

from itertools import pairwise

import numpy as np
import pytest

from resight.errors import UserError
from resight.people.backdrop import paint_backdrop
from resight.people.body import BONES, load_body, vertex_normals
from resight.people.boxes import ASPECT, TIGHT_ASPECT, Box
from resight.people.camera import sample_camera
from resight.people.crops import VISIBLE, World
from resight.people.factors import Factors, factor_meanings, read_factors
from resight.people.identity import sample_person
from resight.people.person import FAMILY
from resight.people.pose import occupied, sample_gait
from resight.people.render import Posed, render
from resight.people.sensor import sample_sensor

ROWS = 64


@pytest.fixture(scope="module")
def world():
    return World(seed=5, rows=ROWS)


def pixels(drawn):
    return np.asarray(drawn.image)


def test_a_crop_drawn_alone_equals_the_one_drawn_among_others(world):
    for person in (1, 2):
        for crop in (0, 1):
            world.crop(person, 0, 0, crop)
    among_others = world.crop(3, 1, 1, 1)
    alone = World(seed=5, rows=ROWS).crop(3, 1, 1, 1)
    assert (pixels(among_others) == pixels(alone)).all()


@pytest.mark.parametrize("other", [(2, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1)])
def test_every_number_changes_the_crop(world, other):
    assert (pixels(world.crop(1, 0, 0, 0)) != pixels(world.crop(*other))).mean() > 0.5


def test_another_seed_is_another_world(world):
    assert (pixels(world.crop(1, 0, 0, 0)) != pixels(World(6, ROWS).crop(1, 0, 0, 0))).mean() > 0.5


def test_crops_keep_their_bounds(world):
    drawn = [
        world.crop(person, camera, 0, crop) for person in range(1, 21) for camera in (0, 1) for crop in (0, 1)
    ]
    for crop in drawn:
        assert crop.image.size == (ROWS // 2, ROWS)
        assert VISIBLE <= crop.visible <= 1
        assert ASPECT[0] - 1e-9 <= crop.box.width / crop.box.height <= ASPECT[1] + 1e-9
        assert pixels(crop).std() > 5
    assert any(crop.visible < 1 for crop in drawn), "nobody is ever hidden by anything"


def test_junk_and_distractors_keep_their_bounds(world):
    for number in range(6):
        for crop in (world.junk(1, 0, number), world.distractor(0, number)):
            assert crop.image.size == (ROWS // 2, ROWS)
            assert ASPECT[0] - 1e-9 <= crop.box.width / crop.box.height <= ASPECT[1] + 1e-9


def test_overlap_of_boxes():
    box = Box(10, 10, 4, 8)
    assert box.overlap(box) == pytest.approx(1)
    assert box.overlap(Box(12, 10, 4, 8)) == pytest.approx(1 / 3)
    assert box.overlap(Box(30, 10, 4, 8)) == 0


def test_families_wear_similar_colours():
    """Members of a family are nearer in the colour of their tops than strangers, but no two are the same."""
    body = load_body()
    people = [sample_person(0, number, body) for number in range(1, 40 * FAMILY + 1)]
    colours = np.array([np.mean(person.top.colours[:1], 0) ** (1 / 2.2) for person in people]).reshape(
        40, FAMILY, 3
    )
    within = np.median([np.linalg.norm(a - b) for family in colours for a, b in pairwise(family)])
    between = np.median([np.linalg.norm(a - b) for a, b in zip(colours[:-1, 0], colours[1:, 0], strict=True)])
    assert within < 0.7 * between
    assert len({tuple(person.shape) for person in people}) == len(people)


def test_persons_look_like_people():
    body = load_body()
    people = [sample_person(1, number, body) for number in range(1, 201)]
    heights = np.array([person.height for person in people])
    assert heights.min() >= 1.48
    assert heights.max() <= 1.96
    male = np.array([person.male for person in people])
    assert 0.08 < heights[male].mean() - heights[~male].mean() < 0.16
    assert not any(person.beard for person in people if not person.male)


def test_the_body_is_whole():
    body = load_body()
    assert len(BONES) == len(body.joints) == len(body.parents)
    np.testing.assert_allclose(body.weights.sum(1), 1, atol=1e-6)
    vertices, _ = body.shaped(body.population[0], 1.8)
    assert np.isfinite(vertex_normals(vertices, body.faces)).all()
    skin = vertices[np.unique(body.faces[body.layer == 0]), 2]
    assert skin.max() - skin.min() == pytest.approx(1.8)


CAMERA_FACTORS = {"closeness", "light"}
PERSON_FACTORS = {"tones", "bodies", "hair", "clothes", "cloth", "carried"}
SENSOR_FACTORS = {"tone", "focus", "colours", "light", "codec", "noise", "lens"}


@pytest.mark.parametrize("name", factor_meanings())
def test_a_factor_changes_what_it_names_and_nothing_else(name):
    factors = Factors(**{name: 1.0})
    plain, drawn = sample_camera(5, 0, ROWS), sample_camera(5, 0, ROWS, factors)
    assert (repr(plain) != repr(drawn)) == (name in CAMERA_FACTORS)
    same, other = sample_sensor(5, 0, plain), sample_sensor(5, 0, plain, factors)
    assert (repr(same) != repr(other)) == (name in SENSOR_FACTORS)
    body = load_body()
    assert (repr(sample_person(5, 1, body)) != repr(sample_person(5, 1, body, factors))) == (
        name in PERSON_FACTORS
    )


def test_all_factors_together():
    world = World(5, ROWS, read_factors(["all"]))
    drawn = [world.crop(person, 0, 0, 0) for person in range(1, 7)]
    for crop in drawn:
        assert crop.image.size == (ROWS // 2, ROWS)
        assert TIGHT_ASPECT[0] - 1e-9 <= crop.box.width / crop.box.height <= TIGHT_ASPECT[1] + 1e-9
        assert pixels(crop).std() > 2
    assert (pixels(drawn[-1]) == pixels(world.crop(6, 0, 0, 0))).all()
    plain = paint_backdrop(5, 0, world.place(0).camera)
    assert (plain != world.place(0).backdrop).mean() > 0.5
    crowds = [len(world.tracklet(person, 0, 0).companions) for person in range(1, 60)]
    assert max(crowds) == 2


def test_one_and_a_half_samples_a_pixel_draw_what_many_do(world):
    who, figure = world.figure(1)
    camera = world.place(0).camera
    gait = sample_gait(np.random.default_rng(0), True)
    person = Posed(who, figure, world.body, gait, (0.0, camera.near), 0.0)
    points, _ = camera.project(person.vertices)
    left, top = (points.min(0) - 2).astype(int)
    width, height = (np.ptp(points, 0) // 2 * 2 + 7).astype(int)  # odd: the last pair is cut
    window = (left, top, width, height)
    coarse, fine = (render([person], camera, window, samples) for samples in (1.5, 6))
    assert coarse.cover.shape == fine.cover.shape == (height, width)
    assert coarse.cover.max() == pytest.approx(1)
    assert coarse.cover.sum() == pytest.approx(fine.cover.sum(), rel=0.03)
    assert np.abs(coarse.cover - fine.cover).mean() < 0.03


def test_look_alikes_differ_in_one_thing():
    """A family wears what its first member does, but for a colour, a pattern, a bag or shoes."""
    body, factors = load_body(), Factors(look_alikes=1.0)
    same = 0
    for first in range(1, 20 * FAMILY, FAMILY):
        model = sample_person(5, first, body, factors)
        assert repr(model) == repr(sample_person(5, first, body))
        for number in range(first + 1, first + FAMILY):
            person = sample_person(5, number, body, factors)
            assert repr(person.shape) == repr(sample_person(5, number, body).shape)
            alike = [
                repr(getattr(person, name)) == repr(getattr(model, name))
                for name in ("top", "bottom", "bag", "shoe")
            ]
            same += sum(alike) == 3
    assert same > 40  # of 80


def test_skin_is_in_balance():
    body, factors = load_body(), Factors(tones=1.0)
    light = np.array([sample_person(5, number, body, factors).skin.mean() for number in range(1, 301)])
    shares = np.histogram(light ** (1 / 2.2) * 255, [0, 85, 118, 150, 180, 255])[0] / len(light)
    assert shares.min() > 0.1


def test_hands_hold_what_is_carried():
    body, factors = load_body(), Factors(carried=1.0)
    people = [sample_person(5, number, body, factors) for number in range(1, 301)]
    gait = sample_gait(np.random.default_rng(0), walking=True)
    for person in people:
        arms = occupied(gait, person).arms
        assert person.held != "phone" or person.pram is not None or arms[1] == "phone"
        assert person.pram is None or arms == ("push", "push")
    assert {"phone", "umbrella", "book"} <= {person.held for person in people}
    assert {"shopping", "front", "waist"} <= {person.bag.kind for person in people}
    assert any(person.more is not None for person in people)


def test_factors_are_read_from_words():
    assert read_factors([]) == Factors()
    factors = read_factors(["all=0.5", "tone", "boxes=0"])
    assert (factors.tone, factors.boxes, factors.codec) == (1.0, 0.0, 0.5)
    assert "boxes" not in factors.active()


@pytest.mark.parametrize("word", ["fog", "tone=2", "tone=much", "tone=nan"])
def test_unknown_factors_and_strengths_are_refused(word):
    with pytest.raises(UserError, match="factor"):
        read_factors([word])
