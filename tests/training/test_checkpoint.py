import numpy as np
import pytest
from helpers import runs

from htgen.cnn.fused import plain_operations
from htgen.datasets.store import Store, StoreWriter
from htgen.generator.file import GeneratorFile
from htgen.training.checkpoint import generator_file
from htgen.training.follow import checkpoints
from htgen.training.run_folder import RunFolder
from htgen.version import __version__


def test_a_generator_says_where_it_comes_from(config, store):
    tensors = {"x": np.zeros(2, np.float32)}
    file = generator_file(config, tensors, store.preprocessing, 7, (store, None))
    assert (file.name, file.model, file.tensors) == ("toy", config.model, tensors)
    assert file.provenance.to_json() == {
        "config": config.model_dump(mode="json"),
        "step": 7,
        "episodes": 14,
        "data": {"name": "toy", "sha256": store.checksum},
        "htgen": __version__,
        "validation": None,
    }
    unknown = generator_file(config, tensors, store.preprocessing, 7, (None, None))
    assert "data" not in unknown.provenance.to_json()


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_second_store_is_named_with_its_checksum(config, store, tmp_path, is_changed):
    def write(first: int) -> None:
        with StoreWriter(tmp_path / "more", "more", store.preprocessing, {}, overwrite=True) as writer:
            for number in range(first, first + 6):
                writer.add_class(f"k{number}", "toy", store.images[8 * number : 8 * number + 4])

    write(0)
    second = config.data.second.model_copy(
        update={"store": str(tmp_path / "more"), "train": "all", "share": 0.5}
    )
    config = config.model_copy(update={"data": config.data.model_copy(update={"second": second})})
    source = {"name": "more", "sha256": Store.open(tmp_path / "more").checksum}
    runs.train(config, tmp_path / "run")
    assert GeneratorFile.read(tmp_path / "run" / "best.safetensors").provenance.to_json()["second"] == source
    if is_changed:
        write(1)
    (followed,) = checkpoints(RunFolder(tmp_path / "run"), store)
    assert followed.provenance.to_json().get("second") == (None if is_changed else source)
    assert followed.provenance.data.sha256 == store.checksum


def test_a_followed_run_says_the_same_as_the_generator_that_it_ships(config, store, tmp_path):
    with plain_operations():  # a training state does not say which kernels trained it
        runs.train(config, tmp_path / "run")
    shipped = GeneratorFile.read(tmp_path / "run" / "best.safetensors").provenance.to_json()
    (followed,) = checkpoints(RunFolder(tmp_path / "run"), store)
    found = followed.provenance.to_json()
    assert found.keys() == shipped.keys()
    for key in shipped.keys() - {"validation", "step", "episodes"}:
        assert found[key] == shipped[key], key
    assert found["step"] == 6
