"""Small functions of the C in whole numbers: sums become levels, lines are copied."""

from collections.abc import Iterable, Iterator
from string import Template

from htgen.cnn.spec import Activation
from htgen.cnn.whole_executor import LEAK, WholeCnn

_LEVEL = Template("""\
/* A sum as a level. */
static $level ${name}_as_level(int32_t sum, uint8_t shift, uint8_t down, int16_t factor,$negative_parameter
                           int32_t summand$top_parameter)
{
    int32_t scaled = sum >> shift;
    ${upper}_WITHIN("15", 32767, scaled);
    scaled = scaled * factor + summand;
$below    scaled >>= down;
    ${upper}_WITHIN("$bits", $levels, scaled);
$top    return ($level)scaled;
}

""")

_BELOW = Template("""\
    sum = -sum >> shift;
    ${upper}_WITHIN("15", 32767, sum);
    scaled -= sum * negative;
""")

_TOP = """\
    if (scaled > top)
        scaled = top;
"""

_ADDED = Template("""\
/* The same where the level of an earlier block is added. */
static $level ${name}_added_$activation(int32_t sum, $level level, uint8_t shift, uint8_t down,
                           int16_t factor, int16_t share, int32_t offset, int32_t summand$top_parameter)
{
    int32_t scaled = (sum < 0 ? -sum : sum) >> shift;
    ${upper}_WITHIN("15", 32767, scaled);
    scaled = (sum < 0 ? -scaled : scaled) * factor + (int32_t)level * share + offset;
$activate    scaled += summand;
    scaled = scaled < 0 ? 0 : scaled >> down;
    ${upper}_WITHIN("$bits", $levels, scaled);
$top    return ($level)scaled;
}

""")

_ACTIVATE: dict[Activation, str] = {
    "none": "",
    "relu": "    scaled = scaled < 0 ? 0 : scaled;\n",
    "relu6": "    scaled = scaled < 0 ? 0 : scaled;\n",
    "lrelu": f"    scaled = scaled < 0 ? -((-scaled >> 15) * {LEAK}) : scaled;\n",
}

_MARGINS = Template("""\
/* Margins of a line; one above the first or below the last is nothing else. Tells whether it is neither. */
static ${upper}_ALONE uint8_t ${name}_margins($level *line, int which, int16_t side, uint8_t before,
                                     uint8_t behind, const $level *zero, $counter channels)
{
    const uint8_t is_inside = which >= 0 && which < side;
    int i;
    $counter c;
    for (i = 0; i < side + before + behind; i++) {
        if (is_inside && i == before) {
            i += side;
            line += side * channels;
        }
        for (c = 0; c < channels; c++)
            *line++ = ${upper}_UINT$bits(zero + c);
    }
    return is_inside;
}

""")

_COPY = Template("""\
static ${upper}_ALONE void ${name}_copy($level *to, const $level *from, int16_t levels)
{
    memcpy(to, from, (size_t)levels$size);
}

""")

_AGAIN = Template("""\

/* Lines of block $index, which are read again when they are added: the last $depth are kept. */
static $level *${name}_kept_line_$index(int which)
{
    for (; ${name}_made_$index <= which; ${name}_made_$index++)
        ${name}_line_$index(${name}_kept_$index + ${name}_made_$index % $depth * $width);
    return ${name}_kept_$index + which % $depth * $width;
}

static void ${name}_again_$index($level *out, int which)
{
    ${name}_copy(out, ${name}_kept_line_$index(which), $width);
}
""")


def functions(cnn: WholeCnn, name: str, *, leaks: bool, tops: bool, copies: bool) -> str:
    """Functions that blocks call.

    Args:
        leaks: whether sums below 0 count, in any block.
        tops: whether levels end below the largest, in any block.
        copies: whether lines are copied.
    """
    names = {
        "name": name,
        "upper": name.upper(),
        "level": f"uint{cnn.bits}_t",
        "bits": cnn.bits,
        "levels": cnn.levels,
        "size": "" if cnn.bits == 8 else " * sizeof *to",
        "top": _TOP if tops else "",
        "top_parameter": ", uint16_t top" if tops else "",
        "negative_parameter": " int16_t negative," if leaks else "",
        "below": _BELOW.substitute(upper=name.upper()) if leaks else "",
        "counter": "uint8_t" if max(conv.in_channels for conv in cnn.spec.convs) <= 255 else "uint16_t",
    }
    usat = names | {"bits": "8" if cnn.bits == 8 else "15"}
    return "".join(_functions(cnn, names, usat, copies))


def _functions(
    cnn: WholeCnn, names: dict[str, object], usat: dict[str, object], copies: bool
) -> Iterator[str]:
    if any(block.residual is None for block in cnn.blocks):
        yield _LEVEL.substitute(usat)
    for activation in sorted({block.residual.activation for block in cnn.blocks if block.residual}):
        yield _ADDED.substitute(usat, activation=activation, activate=_ACTIVATE[activation])
    if copies:
        yield _COPY.substitute(names)
    if any(conv.padding for conv in cnn.spec.convs):
        yield _MARGINS.substitute(names)


def again(name: str, bits: int, kept: Iterable[tuple[int, int, int]]) -> dict[int, str]:
    """By number of a block, from 1: functions that keep its lines.

    Args:
        kept: its number, how many lines, and levels of a line.
    """
    return {
        index: _AGAIN.substitute(name=name, level=f"uint{bits}_t", index=index, depth=depth, width=width)
        for index, depth, width in kept
    }
