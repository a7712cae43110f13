import numpy as np
import pytest

from editloop.rating.agreement import Level, krippendorff_alpha, resampled_alpha

# Four observers and twelve units, a missing answer is 0 (Krippendorff, 2011, "Computing
# Krippendorff's alpha-reliability", section C).
RELIABILITY = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)
COUNTS = np.stack([(level == RELIABILITY).sum(axis=0) for level in range(1, 6)], axis=1).astype(
    float
)


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_of_the_published_example(level: Level, alpha: float) -> None:
    found = krippendorff_alpha(COUNTS, level, np.arange(1.0, 6.0))
    assert found == pytest.approx(alpha, abs=5e-4)


def test_perfect_agreement_is_one_and_random_answers_are_about_zero() -> None:
    assert krippendorff_alpha(np.array([[3.0, 0], [0, 3]]), "nominal") == 1
    rng = np.random.default_rng(0)
    counts = rng.multinomial(3, (0.5, 0.5), size=4000).astype(float)
    assert abs(krippendorff_alpha(counts, "nominal")) < 0.03


def test_alpha_is_not_defined_if_all_answers_are_the_same() -> None:
    assert np.isnan(krippendorff_alpha(np.array([[3.0, 0], [2, 0]]), "nominal"))


def test_a_resample_is_the_alpha_of_the_repeated_units() -> None:
    groups = np.arange(len(COUNTS)) // 2
    weights = np.array([[2.0, 0, 1, 1, 1, 1]])
    repeated = np.repeat(COUNTS, weights[0, groups].astype(int), axis=0)
    for level in ("nominal", "ordinal"):
        found = resampled_alpha(COUNTS, level, groups, weights)
        assert found[0] == pytest.approx(krippendorff_alpha(repeated, level), abs=1e-12)
