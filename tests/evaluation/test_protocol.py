"""What an evaluation's settings and results say, without measuring anything."""

import pytest

from htgen.errors import SettingError
from htgen.evaluation.accuracy import Evaluation
from htgen.evaluation.augmented_as import AugmentedAs
from htgen.evaluation.protocol import Comparison, EvaluationProtocol, EvaluationResult

PLAIN = EvaluationProtocol(way=5, shot=2, query=3, tasks=40)


def result(protocol=PLAIN, against=None, transductive=False) -> EvaluationResult:
    evaluation = Evaluation(0.875, 0.0123, 40, transductive)
    return EvaluationResult(evaluation, "toy", "ab", "a:test", protocol, ("a", "cd"), against, ("note: x",))


@pytest.mark.parametrize("way", [2, 4, 5, 10, 20, 25, 50])
def test_the_reference_protocol_has_100_queries_in_16_rounds(way):
    protocol = EvaluationProtocol.reference(way=way, seed=3)
    assert protocol.way * protocol.query == 100
    assert (protocol.tasks, protocol.query_rounds, protocol.seed, protocol.shot) == (1024, 16, 3, 1)
    assert (protocol.queries.rounds, protocol.queries.shown) == (16, False)


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (lambda: EvaluationProtocol.reference(way=3), "way"),
        (lambda: EvaluationProtocol.reference(transductive=True), "transductive"),
        (lambda: EvaluationProtocol(way=1), "way"),
        (lambda: EvaluationProtocol(shot=0), "shot"),
        (lambda: EvaluationProtocol(query=0), "query"),
        (lambda: EvaluationProtocol(unlabeled=-1), "unlabeled"),
        (lambda: EvaluationProtocol(tasks=1), "tasks"),
        (lambda: EvaluationProtocol.reference(way=0), "way"),
        (lambda: EvaluationProtocol(way=2.5), "way"),
        (lambda: EvaluationProtocol.reference(way=2.5), "way"),
        (lambda: EvaluationProtocol(augment="traning"), "augment"),
        (lambda: EvaluationProtocol(augment=None), "augment"),
    ],
)
def test_settings_that_cannot_be_are_named(make, setting):
    with pytest.raises(SettingError) as caught:
        make()
    assert caught.value.setting == setting
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("value", AugmentedAs)
def test_augment_may_be_text(value):
    protocol = EvaluationProtocol(augment=value.value)
    assert protocol.augment is value
    assert protocol == EvaluationProtocol(augment=value)


def test_a_result_in_words():
    assert str(result()) == ("toy on a:test, 5-way 2-shot: 87.50 ± 1.23 %\n40 tasks, 15 queries each, seed 0")
    shown = EvaluationProtocol(5, 2, 3, 4, 40, transductive=True, augment=AugmentedAs.training)
    text = str(result(shown, Comparison("other", "ef", -0.01, 0.002), transductive=True))
    assert text.splitlines() == [
        "toy on a:test, 5-way 2-shot with 4 unlabelled: 87.50 ± 1.23 %"
        "  (transductive: the generator saw the query images)  (images augmented as in training)",
        "40 tasks, 15 queries each, seed 0",
        "ahead of other on the same tasks by -1.00 ± 0.20",
    ]
    assert "(transductive: batch norm reads the query images)" in str(result(transductive=True))


def test_a_result_as_a_document():
    document = result().to_dict()
    assert "against" not in document
    assert document["accuracy"] == result().accuracy == 0.875
    assert document["interval95"] == result().interval95 == 0.0123
    assert (document["way"], document["shot"], document["query"], document["tasks"]) == (5, 2, 3, 40)
    assert document["data"] == {"name": "a", "sha256": "cd"}
    compared = result(against=Comparison("other", "ef", -0.01, 0.002)).to_dict()
    against = compared.pop("against")
    assert compared == document
    assert against == {"generator": "other", "sha256": "ef", "ahead": -0.01, "interval95": 0.002}
