"""The scripts of exported pages, which the tests of pages share."""

import pytest
from helpers.javascript import find_node, scripts

from htgen.cnn.html_page import CNN_SCRIPTS

FUNCTIONS = """
prepare: (picture, how) => {
  const data = Uint8Array.from(Buffer.from(picture.data, "base64"));
  const found = preparePicture({ ...picture, data }, how);
  return { ...found, pixels: Array.from(found.pixels) };
},
warningsOfDrawn: (file, images, probabilities) => images.map((pixels) =>
  drawnWarnings(file, { pixels, isBlank: false }, probabilities)),
probabilities: (file, images) => images.map((pixels) => classify(readCnn(file), pixels)),
"""


@pytest.fixture(scope="session")
def js(tmp_path_factory):
    assert find_node() is not None, "Playwright, which the dev extra installs, brings Node"
    with scripts([*CNN_SCRIPTS], FUNCTIONS, tmp_path_factory.mktemp("scripts")) as found:
        yield found
