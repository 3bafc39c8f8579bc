"""A header as an Arduino library: a folder that the Arduino IDE takes as it is."""

import re

from htgen.cnn.c_common import CCode
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

_SKETCH_THAT_PREPARES = """\
// Classifies one frame and prints its class: fill `frame` from a camera, grey, with as many columns and rows.
#include <{name}.h>

static const uint16_t columns = 96, rows = 96;
static uint8_t frame[columns * rows];
static uint8_t pixels[{upper}_PIXELS];
static int32_t logits[{upper}_CLASSES];

void setup() {{
  Serial.begin(115200);
}}

void loop() {{
  if ({name}_prepare(frame, columns, rows, pixels)) {{
    uint8_t best = {name}_classify(pixels, logits);
    Serial.println({name}_class_names[best]);
  }} else {{
    Serial.println("no ink");
  }}
  delay(1000);
}}
"""


def library_files(code: CCode) -> dict[str, str]:
    """Paths in the library's folder -> contents."""
    name, sketch = code.name, _SKETCH_THAT_PREPARES if code.prepares else _SKETCH
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
        f"examples/{name}_once/{name}_once.ino": sketch.format(name=name, upper=name.upper()),
    }
