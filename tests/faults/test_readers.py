"""Every reader with what hypothesis makes of its seeds, and with the seeds themselves."""

import contextlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults.changes import changed_values
from faults.fuzz import kept
from faults.readers import CORPUS, Readers
from htgen.errors import HtgenError

# A changed bit in the key of a checksum hides it, and files of before had none.
pytestmark = pytest.mark.filterwarnings("ignore::htgen.errors.OlderFileWarning")

NAMES = (
    "files of tensors", "descriptions of CNN files", "descriptions of generators", "generators, loaded",
    "descriptions of training states", "checkpoints of TensorFlow", "layers of CNNs", "preprocessing",
    "provenance", "sections of configs", "whole configs", "YAML", "overrides", "lines of metrics", "splits",
    "labels of images", "pickles", "idx files", "zips", "archives of arrays", "manifests of stores",
    "images of stores", "images", "drawings",
)  # fmt: skip


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict:
    place = tmp_path_factory.mktemp("hostile")
    code = "import sys, pathlib; from faults.workshop import build; build(pathlib.Path(sys.argv[1]))"
    subprocess.run(  # in a process without threads, as it is copied
        [sys.executable, "-c", code, str(place / "workshop")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    return {reader.name: reader for reader in Readers(place / "workshop", place).all()}


def test_all_readers_are_tried(readers):
    assert tuple(readers) == NAMES


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_reader_answers_or_refuses(name, seed, readers):
    reader = readers[name]
    given_input = reader.make(random.Random(seed))
    with contextlib.suppress(HtgenError):
        reader.take(given_input)


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_answers_or_refuses_what_a_fuzzer_found_before(name, readers):
    reader = readers[name]
    found = kept(name)
    assert reader.kept or not found
    for data in [*reader.seeds, *found]:
        with contextlib.suppress(HtgenError):
            reader.take(reader.form(data))


TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "name", ["layers of CNNs", "preprocessing", "provenance", "sections of configs", "whole configs"]
)
@settings(max_examples=60, deadline=None)
@given(values=JSON)
def test_a_reader_of_values_answers_or_refuses_any(name, values, readers):
    with contextlib.suppress(HtgenError):
        readers[name].take(values)


@pytest.mark.parametrize(
    "name", ["lines of metrics", "pickles", "idx files", "zips", "images", "files of tensors"]
)
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200))
def test_a_reader_of_bytes_answers_or_refuses_any(name, data, readers):
    with contextlib.suppress(HtgenError):
        readers[name].take(data)


@pytest.mark.parametrize("name", ["YAML", "overrides", "splits"])
@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=60))
def test_a_reader_of_text_answers_or_refuses_any(name, text, readers):
    with contextlib.suppress(HtgenError):
        readers[name].take(text)


def test_seeds_are_small_and_changes_differ():
    assert all(path.stat().st_size < 4096 for path in CORPUS.iterdir() if path.is_file())
    assert all(path.stat().st_size < 100_000 for path in (CORPUS / "found").iterdir())
    seeds = {
        repr(changed_values({"a": [1, 2, {"b": "text"}], "c": 0.5}, random.Random(i))) for i in range(50)
    }
    assert len(seeds) > 30
    assert Path(CORPUS, "pickle-protocol-0.hex").exists()
