import numpy as np
from helpers import runs

from htgen.cnn.fused import plain_operations
from htgen.generator.file import GeneratorFile
from htgen.training.checkpoint import generator_file
from htgen.training.follow import checkpoints
from htgen.training.run_folder import RunFolder
from htgen.version import __version__


def test_a_generator_says_where_it_comes_from(config, store):
    tensors = {"x": np.zeros(2, np.float32)}
    file = generator_file(config, tensors, store.preprocessing, 7, store)
    assert (file.name, file.model, file.tensors) == ("toy", config.model, tensors)
    assert file.provenance.to_json() == {
        "config": config.model_dump(mode="json"),
        "step": 7,
        "episodes": 14,
        "data": {"name": "toy", "sha256": store.checksum},
        "htgen": __version__,
        "validation": None,
    }
    assert "data" not in generator_file(config, tensors, store.preprocessing, 7, None).provenance.to_json()


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
