"""MobileNet: the figures of its paper."""

import pytest
from trunk_parts import cost, shapes


def test_figures_of_the_paper() -> None:
    """Howard et al., Table 4: 4.2 million parameters, 569 million multiply-adds, the fc of 1000 included."""
    parameters, multiply_adds = cost("mobilenet", (224, 224))
    assert (parameters, multiply_adds) == (3_206_976, 567_716_352)
    assert parameters + 1025 * 1000 == pytest.approx(4.2e6, rel=0.01)
    assert multiply_adds + 1024 * 1000 == pytest.approx(569e6, rel=1e-3)


@pytest.mark.parametrize(
    ("width", "millions", "adds"), [(0.75, 2.6, 325e6), (0.5, 1.3, 149e6), (0.25, 0.5, 41e6)]
)
def test_figures_of_narrower_networks(width: float, millions: float, adds: float) -> None:
    """Table 6."""
    parameters, multiply_adds = cost("mobilenet", (224, 224), width=width)
    features = round(1024 * width)
    assert round((parameters + (features + 1) * 1000) / 1e6, 1) == millions
    assert multiply_adds + features * 1000 == pytest.approx(adds, rel=0.01)


def test_shapes() -> None:
    assert shapes("mobilenet", (256, 128)) == [(128, 64, 32), (256, 32, 16), (512, 16, 8), (1024, 8, 4)]
    assert shapes("mobilenet", (224, 224))[-1] == (1024, 7, 7)
