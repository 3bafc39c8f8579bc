import pytest

from htgen.schema import Faults, refuse


def test_faults_keep_their_keys_and_tell_all_reasons():
    with pytest.raises(Faults) as caught:
        refuse([("way", "too few: 1"), ("cnn.stride", "none")])
    assert caught.value.pairs == (("way", "too few: 1"), ("cnn.stride", "none"))
    assert str(caught.value) == "way: too few: 1\ncnn.stride: none"


def test_nothing_wrong_is_no_fault():
    refuse([])
