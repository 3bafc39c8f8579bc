"""Accuracies as counts, against numbers that are known."""

import numpy as np
import pytest

from htgen.cnn.score import Score


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    # Tables of the Wilson interval; the ends 18/18 and 0/10 by hand: n / (n + z^2) and z^2 / (n + z^2).
    [(18, 18, 0.8241, 1), (0, 10, 0, 0.2775), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_that_of_wilson(right, images, low, high):
    assert Score(right, images).interval == pytest.approx((low, high), abs=1e-4)
    assert Score(right, images).accuracy == right / images


def test_the_interval_holds_the_truth_in_95_of_100_cases():
    noise = np.random.default_rng(0)
    for truth in (0.5, 0.8, 0.95):
        counts = noise.binomial(30, truth, 4000)
        intervals = {count: Score(int(count), 30).interval for count in set(counts.tolist())}
        holds = np.mean([intervals[count][0] <= truth <= intervals[count][1] for count in counts.tolist()])
        assert 0.92 < holds < 0.99, truth


def test_it_is_what_its_record_says():
    score = Score(3, 7)
    assert Score.from_dict(score.to_dict() | {"later": 1}) == score
    part = Score(3, 7, 9)
    assert Score.from_dict(part.to_dict()) == part != score
    assert "planned" not in score.to_dict()
    assert str(Score(18, 18)) == "100 % of 18 images right (82 to 100 %)"


@pytest.mark.parametrize("record", [(-1, 3), (4, 3), (0, 0), (1.0, 3), (True, 3), ("1", 3), (1, 3, 2)])
def test_what_is_no_score_is_refused(record):
    with pytest.raises(ValueError, match=r"score|cannot"):
        Score(*record)
