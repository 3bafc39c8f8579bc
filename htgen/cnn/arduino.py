"""A header as an Arduino library: a folder that the Arduino IDE takes as it is."""

import re

from htgen.cnn.c_source import CCode
from htgen.version import __version__

_SKETCH = """\
// Classifies one image and prints its class: fill `pixels` from a camera or a sensor.
#include <{name}.h>

static uint8_t pixels[{upper}_PIXELS];
static int32_t logits[{upper}_CLASSES];

void setup() {{
  Serial.begin(115200);
}}

void loop() {{
  uint8_t best = {name}_classify(pixels, logits);
  Serial.println({name}_class_names[best]);
  delay(1000);
}}
"""


def library_files(code: CCode) -> dict[str, str]:
    """Paths in the library's folder -> contents."""
    name = code.name
    properties = {
        "name": name,
        "version": ".".join(re.findall(r"\d+", __version__)[:3]),
        "author": "htgen",
        "maintainer": "htgen",
        "sentence": "A small CNN that classifies images.",
        "paragraph": "Written by htgen export. All in whole numbers, without dependencies.",
        "category": "Data Processing",
        "url": "",
        "architectures": "*",
        "includes": f"{name}.h",
    }
    return {
        "library.properties": "".join(f"{key}={value}\n" for key, value in properties.items()),
        f"src/{name}.h": code.text,
        f"examples/{name}_once/{name}_once.ino": _SKETCH.format(name=name, upper=name.upper()),
    }
