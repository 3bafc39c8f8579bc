"""What a file says of its generator: kept to the byte, or refused in one sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.files import without_checksum
from helpers.generators import make_generator
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from htgen.cli import main
from htgen.errors import ModelError
from htgen.generator.file import GeneratorFile
from htgen.generator.generator import load_generator
from htgen.generator.provenance import NOT_KNOWN, Calibration, Provenance
from htgen.generator.shipped import generator_path, shipped_generators


@pytest.mark.parametrize("name", shipped_generators())
def test_what_ships_is_written_again_to_the_byte_but_for_its_checksum(name):
    path = generator_path(name)
    file = GeneratorFile.read(path)
    assert path.read_bytes() in (file.to_bytes(), without_checksum(file.to_bytes()))
    assert file.provenance.config.data.train
    assert file.provenance.calibration.settings
    assert len(file.provenance.data.sha256) == 64


NUMBERS = st.integers(-(10**400), 10**400) | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = {
    "config": ("data", "episodes", "augment", "augment_validation"),
    "data": ("name", "sha256"),
    "validation": ("accuracy", "interval95", "tasks", "transductive"),
    "calibration": (*Calibration.model_fields,),
    "step": (),
    "episodes": (),
    "htgen": (),
}
SECTIONS = {
    name: st.fixed_dictionaries({}, optional=dict.fromkeys(keys, JSON)) | JSON for name, keys in KEYS.items()
}


@pytest.fixture(scope="module")
def rewrite(tmp_path_factory):
    """Write a generator whose provenance is something else; returns the file."""
    path = tmp_path_factory.mktemp("hostile") / "odd.safetensors"
    path.write_bytes(make_generator().file.to_bytes())
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["htgen"])
        del header["checksum"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def write(provenance: str):
        header["provenance"] = "@"
        text = json.dumps(header, sort_keys=True).replace('"@"', provenance)
        path.write_bytes(save(tensors, metadata={"htgen": text}))
        return path

    return write


def loaded_or_refused(path):
    """The generator, or None when it was refused as it should be."""
    try:
        return load_generator(path)
    except ModelError as error:
        refused = error
    assert "odd.safetensors" in refused.message
    assert "\n" not in refused.message
    assert refused.hint
    return None


@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("ignore::htgen.errors.OlderFileWarning")
@given(values=st.fixed_dictionaries({}, optional=SECTIONS) | JSON)
@example(values={"calibration": {"temperature": 10**400}})
def test_any_provenance_is_read_and_used_or_refused_in_one_sentence(values, rewrite):
    path = rewrite(json.dumps(values, sort_keys=True))
    generator = loaded_or_refused(path)
    if generator is not None:
        assert generator.temperature.at(3) > 0
        assert isinstance(generator.knows_unlabeled, bool)
        kept = generator.file.provenance.to_json()
        assert json.dumps(kept, sort_keys=True) == json.dumps(values, sort_keys=True)
        assert without_checksum(generator.file.to_bytes()) == path.read_bytes()
    assert main(["inspect", str(path)]) in (0, 5)


@pytest.mark.filterwarnings("ignore::htgen.errors.OlderFileWarning")
@pytest.mark.parametrize("depth", [200, 260, 900, 100_000])
@pytest.mark.parametrize("key", ["config", "data", "more"])
def test_deep_nesting_is_kept_or_refused(depth, key, rewrite, capsys):
    path = rewrite(f'{{"{key}": {{"x": {"[" * depth}{"]" * depth}}}}}')
    generator = loaded_or_refused(path)
    assert (generator is not None) == (depth == 200)
    if generator is not None:
        assert without_checksum(generator.file.to_bytes()) == path.read_bytes()
    assert main(["inspect", str(path)]) in (0, 5)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"step": "9000"}, "provenance.step"),
        ({"data": {"name": 3}}, "provenance.data.name"),
        ({"config": {"data": []}}, "provenance.config.data"),
        ({"calibration": {"temperatures": [[1, 0]]}}, "provenance.calibration.temperatures.0.1"),
        ({"validation": {"accuracy": 0.5}}, "provenance.validation.interval95"),
    ],
)
def test_the_place_of_a_wrong_value_is_named(values, place):
    with pytest.raises(ModelError, match=f"x is damaged: {place}"):
        Provenance.from_json(values, "x")


def test_keys_of_other_versions_stay_and_none_are_added():
    values = {"config": {"data": {"val": "a:b", "new": 1}, "model": {}}, "validation": None, "more": [1]}
    provenance = Provenance.from_json(values)
    assert provenance.to_json() == values
    changed = provenance.with_values(calibration=Calibration(error=0.5))
    assert changed.to_json() == values | {"calibration": {"error": 0.5}}
    assert NOT_KNOWN.to_json() == {}
    assert not NOT_KNOWN.says_how_trained
    assert provenance.says_how_trained


@pytest.mark.parametrize(
    ("unlabeled", "refine", "knows"), [(0, 0, False), (2, 0, True), ([0, 3], 0, True), (0, 1, True)]
)
def test_a_generator_knows_unlabelled_images_by_its_training_or_its_settings(unlabeled, refine, knows):
    weights = {"prototypes": True, "refine_prototypes": refine}
    file = make_generator(weights=weights).file
    provenance = Provenance.from_json({"config": {"episodes": {"unlabeled": unlabeled}}})
    assert replace(file, provenance=provenance).knows_unlabeled == knows


def test_an_old_file_without_any_can_be_used():
    file = make_generator().file
    assert file.provenance == NOT_KNOWN
    assert np.isclose(file.provenance.temperature.at(5), 1)
