"""Class means by hand, and the same layer from tensors and from arrays."""

import math

import numpy as np
import pytest
import torch

from htgen.cnn.executor import linear
from htgen.cnn.executor_numpy import softmax
from htgen.hypertransformer.class_means import (
    class_mean_layer,
    membership,
    nearest_mean,
    refine_means,
    weighted_means,
)
from htgen.hypertransformer.plda_coordinates import PldaCoordinates


def test_class_means_by_hand():
    features = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [5.0, 5.0], [9.0, 9.0]]])
    labels = torch.tensor([[0, 0, 1, -1]])
    means, counts = weighted_means(features, membership(labels, torch.arange(2), None).float())
    assert (means.tolist(), counts.tolist()) == ([[[2.0, 1.0], [5.0, 5.0]]], [[2.0, 1.0]])
    ignore = torch.tensor([[True, False, False, False]])
    means, counts = weighted_means(features, membership(labels, torch.arange(2), ignore).float())
    assert (means.tolist(), counts.tolist()) == ([[[3.0, 2.0], [5.0, 5.0]]], [[1.0, 1.0]])


def test_the_mean_of_a_class_without_samples_is_zero_and_has_a_gradient():
    features = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]], requires_grad=True)
    means, counts = weighted_means(features, torch.tensor([[[1.0, 1.0], [0.0, 0.0]]]))
    assert means.tolist() == [[[2.0, 3.0], [0.0, 0.0]]]
    assert counts.tolist() == [[2.0, 0.0]]
    means.sum().backward()
    assert features.grad.tolist() == [[[0.5, 0.5], [0.5, 0.5]]]


def test_refined_means_by_hand():
    features = torch.tensor([[[0.0], [4.0], [1.0], [9.0]]])
    labels, means = torch.tensor([[0, 1, -1, -1]]), torch.tensor([[[0.0], [4.0]]])
    # Distances of 1 are 1 and 9, those of 9 are 81 and 25: with s = 0.1 shares of 1 / (1 + e^-0.8) and so on.
    one, nine = 1 / (1 + math.exp(-0.8)), 1 / (1 + math.exp(5.6))
    expected = [
        (one * 1 + nine * 9) / (1 + one + nine),
        (4 + (1 - one) * 1 + (1 - nine) * 9) / (3 - one - nine),
    ]
    logits = linear(features, *nearest_mean(means, torch.ones(1, 2), torch.tensor(0.1), None))
    member = torch.tensor([[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]])
    found, counts = refine_means(features, member, torch.softmax(logits, dim=2), labels < 0)
    assert found.flatten().tolist() == pytest.approx(expected)
    assert counts.flatten().tolist() == pytest.approx([1 + one + nine, 3 - one - nine])
    ignore = torch.tensor([[False, False, False, True]])
    expected = [one / (1 + one), (4 + 1 - one) / (2 - one)]
    found, _ = refine_means(features, member, torch.softmax(logits, dim=2), (labels < 0) & ~ignore)
    assert found.flatten().tolist() == pytest.approx(expected)


def plda_of(centre, directions, prior_counts) -> PldaCoordinates:
    plda = PldaCoordinates()
    plda.centre, plda.directions, plda.prior_counts = centre, directions, prior_counts
    return plda


@pytest.mark.parametrize("with_plda", [False, True])
@pytest.mark.parametrize("refinements", [0, 2])
def test_tensors_and_arrays_give_the_same_layer(with_plda, refinements):
    chance = np.random.default_rng(0)
    features, labels = (
        chance.normal(size=(2, 7, 4)),
        np.array([[0, 1, 2, 0, 1, -1, -1], [2, 2, 1, 0, -1, 0, -1]]),
    )
    numbers = [chance.normal(size=4), chance.normal(size=(4, 4)), chance.exponential(size=4)]
    member = membership(labels, np.arange(3), None).astype(float)
    found = class_mean_layer(
        features,
        member,
        labels < 0,
        sharpness=np.array(0.7),
        copies=2,
        plda=plda_of(*numbers) if with_plda else None,
        refinements=refinements,
        classify=lambda seen, weight, bias: softmax(seen @ weight.swapaxes(1, 2) + bias[:, None]),
    )[:2]
    expected = class_mean_layer(
        torch.tensor(features),
        torch.tensor(member),
        torch.tensor(labels < 0),
        sharpness=torch.tensor(0.7, dtype=torch.float64),
        copies=2,
        plda=plda_of(*map(torch.tensor, numbers)) if with_plda else None,
        refinements=refinements,
        classify=lambda seen, weight, bias: linear(seen, weight, bias).softmax(2),
    )[:2]
    for array, tensor in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, tensor, rtol=1e-10, atol=1e-12)


def test_the_layer_answers_with_the_nearest_corrected_mean():
    """Differences of logits are those of squared distances, in the coordinates, by their weights."""
    chance = np.random.default_rng(1)
    features, labels = chance.normal(size=(1, 6, 3)), np.array([[0, 0, 1, 1, 1, 1]])
    centre, prior_counts = chance.normal(size=3), np.array([0.5, 3.0, 0.0])
    directions = np.linalg.qr(chance.normal(size=(3, 3)))[0]
    weight, bias = class_mean_layer(
        features,
        membership(labels, np.arange(2), None).astype(float),
        labels < 0,
        sharpness=np.array(0.3),
        copies=1,
        plda=plda_of(centre, directions, prior_counts),
        refinements=0,
        classify=lambda *_: pytest.fail("nothing to refine"),
    )[:2]
    query = chance.normal(size=3)
    place = (query - centre) @ directions
    seen = (features[0] - centre) @ directions
    squares = []
    for one, count in ((seen[:2], 2), (seen[2:], 4)):
        mean = one.mean(0) * count / (count + prior_counts)
        precision = (1 + 1 / 3) / (1 + 1 / (3 + prior_counts))  # 3 samples a class in the mean
        squares.append((precision * (place - mean) ** 2).sum())
    logits = weight[0] @ query + bias[0]
    assert logits[0] - logits[1] == pytest.approx(0.3 * (squares[1] - squares[0]))
