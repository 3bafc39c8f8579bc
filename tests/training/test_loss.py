"""The terms of the training loss, each against its definition."""

import pytest
import torch
import torch.nn.functional as F
from helpers.toy import toy_values

from htgen.config.run import Config
from htgen.datasets.store import Store
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.training.loss import TrainingLoss, head_weights, l2_penalty, variation_penalty


def setup(store: Store, **changes):
    """Config, model, loss and a batch of two episodes."""
    values = toy_values(store.path)
    for key, value in changes.items():
        section, _, rest = key.partition("__")
        target = values[section]
        *inner, last = rest.split("__")
        for name in inner:
            target = target.setdefault(name, {})
        target[last] = value
    config = Config.model_validate(values)
    torch.manual_seed(0)
    model = HyperTransformer(config.model)
    pool = ClassPool.of_split(store, config.data.train)
    sampler = EpisodeSampler(pool, config.episodes, EpisodeStream(0, period=2), config.model.max_way)
    loss = TrainingLoss(config, model, pool.class_ids)
    model.eval()
    return model, loss, sampler.batch(0, 2)


def test_head_weights_slide_from_head_to_head_to_the_real_loss():
    # Three heads, stages of 100 steps.
    assert head_weights(0, 3, 300) == ([1.0, 0.0, 0.0], 0.0)
    assert head_weights(50, 3, 300) == ([0.5, 0.5, 0.0], 0.0)
    assert head_weights(100, 3, 300) == ([0.0, 1.0, 0.0], 0.0)
    assert head_weights(200, 3, 300) == ([0.0, 0.0, 1.0], 0.0)
    weights, real = head_weights(275, 3, 300)
    assert weights == pytest.approx([0.0, 0.0, 0.25])
    assert real == pytest.approx(0.75)
    assert head_weights(300, 3, 300) == ([0.0, 0.0, 0.0], 1.0)
    assert head_weights(9999, 3, 300) == ([0.0, 0.0, 0.0], 1.0)
    assert head_weights(5, 0, 0) == ([], 1.0)


def test_the_plain_loss_is_smoothed_cross_entropy(store):
    model, loss, batch = setup(store, train__label_smoothing=0.2)
    total, scalars = loss(model, batch, 0)
    logits = model(batch.support_images, batch.support_labels, batch.query_images, batch.slots)
    log_p = logits.log_softmax(2)
    right = log_p.gather(2, batch.query_labels[..., None])[..., 0]
    expected = -(0.8 * right + 0.2 * log_p.mean(2)).mean()
    assert torch.allclose(total, expected, atol=1e-6)
    assert scalars["accuracy"] == (logits.argmax(2) == batch.query_labels).float().mean()


def test_l2_and_variation_by_hand(store):
    model, loss, batch = setup(store, train__l2=0.1, train__variation_penalty=0.3)
    total, scalars = loss(model, batch, 0)
    weights = model.generate(batch.support_images, batch.support_labels, batch.slots)
    l2 = variation = 0.0
    for e in range(2):
        l2 += weights.logits_weight[e].square().sum()
        for i, conv in enumerate(weights.blocks):
            base = model.convs[i].base_kernel
            l2 += conv.kernel[e].square().sum()
            # Once for the support images, once for the queries.
            variation += 2 * (conv.kernel[e] - base).square().sum() / (1e-8 + base.square().sum())
    assert torch.allclose(scalars["loss/l2"], l2 / 2, rtol=1e-4)
    assert torch.allclose(scalars["loss/variation"], variation / 2, rtol=1e-4)
    assert torch.allclose(total, scalars["loss/query"] + 0.1 * l2 / 2 + 0.3 * variation / 2, rtol=1e-4)


def test_penalties_of_learned_layers(store):
    model, _, batch = setup(store, model__weights__learned_layers=4)
    output = model.run(batch.support_images, batch.support_labels, batch.query_images, batch.slots)
    kernels = sum(c.base_kernel.square().sum() for c in model.convs)
    expected = kernels + output.weights.logits_weight.square().sum() / 2
    assert torch.allclose(l2_penalty(model, output), expected, rtol=1e-4)
    model, _, batch = setup(store, model__weights__learned_layers=3)
    output = model.run(batch.support_images, batch.support_labels, batch.query_images, batch.slots)
    assert variation_penalty(model, output) > 0  # of the last block alone


def test_variation_of_all_that_has_a_learned_part(store):
    changes = {"base": "all", "generate_bias": True, "generate_norm": True, "prototypes": False}
    model, loss, batch = setup(
        store,
        train__variation_penalty=0.3,
        **{f"model__weights__{name}": value for name, value in changes.items()},
    )
    with torch.no_grad():
        for writer in model.convs:
            writer.base_bias.normal_()
            writer.base_beta.normal_()
    weights = model.generate(batch.support_images, batch.support_labels, batch.slots)
    expected = 0.0
    for writer, block in zip(model.convs, weights.blocks, strict=True):
        parts = {
            "kernel": block.kernel,
            "bias": block.bias,
            "gamma": block.norm.gamma,
            "beta": block.norm.beta,
        }
        for name, whole in parts.items():
            base = getattr(writer, f"base_{name}")
            generated = (whole - base).square().sum() / 2  # of two episodes
            expected += 2 * generated / (1e-8 + base.square().sum())
    assert torch.allclose(loss(model, batch, 0)[1]["loss/variation"], expected, rtol=1e-4)


@pytest.mark.parametrize("learned", [0, 2])
def test_penalties_of_kernels_that_queries_have_a_copy_of(store, learned):
    changes = {"base": "all", "prototypes": False, "learned_layers": learned}
    model, _, batch = setup(
        store,
        model__cnn__separate_query_norm="kernels",
        **{f"model__weights__{name}": value for name, value in changes.items()},
    )
    output = model.run(batch.support_images, batch.support_labels, batch.query_images, batch.slots)
    l2 = output.weights.logits_weight.square().sum() / 2  # of two episodes
    variation = 0.0
    for index, (writer, block) in enumerate(zip(model.convs, output.weights.blocks, strict=True)):
        own, copy = writer.base_kernel, writer.base_query_kernel
        assert not torch.equal(own, copy)
        if index < learned:
            l2 = l2 + own.square().sum() + copy.square().sum()
            continue
        generated = block.kernel - copy  # what runs on queries has the copy in it
        l2 = l2 + (generated + own).square().sum() / 2
        for base in (own, copy):
            variation = variation + generated.square().sum() / 2 / (1e-8 + base.square().sum())
    assert torch.allclose(l2_penalty(model, output), l2, rtol=1e-4)
    assert torch.allclose(variation_penalty(model, output), variation, rtol=1e-4)


def test_l2_of_warm_up_heads(store):
    model, loss, batch = setup(store, train__head_steps=300, train__l2=0.1)
    output = model.run(batch.support_images, batch.support_labels, batch.query_images, batch.slots)
    heads = sum(head.weight.square().sum() for head in loss.heads)
    assert torch.allclose(loss(model, batch, 0)[1]["loss/l2"], l2_penalty(model, output) + heads, rtol=1e-4)


def test_warm_up_heads_are_learned_layers_on_averaged_activations(store):
    model, loss, batch = setup(store, train__head_steps=300)
    total, scalars = loss(model, batch, 50)
    output = model.run(batch.support_images, batch.support_labels, batch.query_images, batch.slots)
    expected = 0.0
    for index in range(2):
        x = output.activations[index].mean((3, 4)).transpose(0, 1)
        support, head = batch.support_labels.shape[1], loss.heads[index]
        weight, bias = head.weight[batch.slots], head.bias[batch.slots]
        logits = torch.einsum("eqf,enf->eqn", x[:, support:], weight) + bias[:, None]
        expected += 0.5 * F.cross_entropy(logits.flatten(0, 1), batch.query_labels.flatten())
    assert torch.allclose(total, expected, atol=1e-5)
    assert {"weight/head1", "weight/head2", "weight/head3", "accuracy/head1"} <= scalars.keys()
    assert not {"accuracy/head3", "loss/head3"} & scalars.keys()  # its weight is 0 yet
    assert scalars["weight/query"] == 0
    told = sum(scalars[f"weight/head{j}"] * scalars[f"loss/head{j}"] for j in (1, 2))
    assert torch.allclose(total, told, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_shared_head_learns_the_true_classes_of_all_support_images(store, smoothing):
    model, loss, batch = setup(
        store, train__shared_head=0.5, episodes__unlabeled=1, train__label_smoothing=smoothing
    )
    total, scalars = loss(model, batch, 0)
    features = model.shared_features(batch.support_images.transpose(0, 1))[0]
    logits = loss.shared_head(features)
    assert logits.shape[2] == 10  # toy:train
    offsets = torch.as_tensor(store.offsets)
    truth = torch.searchsorted(offsets, batch.support_rows.contiguous(), right=True) - 1
    log_p = logits.log_softmax(2)
    right = log_p.gather(2, truth[..., None])[..., 0]
    expected = -((1 - smoothing) * right + smoothing * log_p.mean(2)).mean()
    assert torch.allclose(scalars["loss/shared"], expected, atol=1e-6)
    assert torch.allclose(total, scalars["loss/query"] + 0.5 * expected, atol=1e-6)


def test_pre_training_trains_the_shared_features_alone(store):
    model, loss, batch = setup(store, train__pretrain_shared=True)
    total, _ = loss(model, batch, 0)
    total.backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {name for name, _ in model.named_parameters() if name.startswith("shared.")}
