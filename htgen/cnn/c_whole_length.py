"""The C of features of length 1 in whole numbers: the bits of `htgen.cnn.whole_length`."""

from string import Template

from htgen.cnn.spec import CnnSpec
from htgen.cnn.whole_length import HALF, WholeLength, largest_part

CODE_OF_LENGTH = 560
"""About how many bytes of instructions it takes: gcc -O2 for Cortex-M0."""

_MEANS = Template("""\
    memset(${name}_totals, 0, sizeof ${name}_totals);
    for (i = 0; i < $side; i++) {
        int16_t p;
        ${name}_line_$depth(${name}_features);
        for (p = 0; p < $line; p++)
            ${name}_totals[p % $inputs] += ${name}_features[p];
    }
    for (i = 0; i < $inputs; i++)
        $mean;""")

_FUNCTIONS = Template("""\
/* A feature, all in one unit. */
static int32_t ${name}_feature(int16_t i)
{
    return $value;
}

/* Its size, by so many bits less, rounded. */
static uint32_t ${name}_size(int16_t i, uint8_t bits)
{
    int32_t value = ${name}_feature(i);
    return ((uint32_t)(value < 0 ? -value : value) + (((uint32_t)1 << bits) >> 1)) >> bits;
}

/* The square root, rounded down. */
static ${upper}_ALONE uint32_t ${name}_root(uint32_t square)
{
    uint32_t root = 0, bit = (uint32_t)1 << 30;
    for (; bit; bit >>= 2) {
        uint32_t with = root + bit;
        root >>= 1;
        if (square >= with) {
            square -= with;
            root += bit;
        }
    }
    return root;
}

/* Scales features to length 1, which is $half, without numbers of more than 32 bits. */
static ${upper}_ALONE void ${name}_to_length(void)
{
    uint32_t largest = 0, total = 0, root;
    uint8_t down = 0, up = 0;
    int16_t i;
    for (i = 0; i < $features; i++)
        if (${name}_size(i, 0) > largest)
            largest = ${name}_size(i, 0);
    while ((largest + (((uint32_t)1 << down) >> 1)) >> down > $most)
        down++;
    for (i = 0; i < $features; i++)
        total += ${name}_size(i, down) * ${name}_size(i, down);
    for (; total > 0 && total >> 30 == 0; total <<= 2)
        up++;
    root = ${name}_root(total);
    for (i = 0; i < $features; i++) {
        uint32_t size = down < up ? ${name}_size(i, 0) << (up - down) : ${name}_size(i, (uint8_t)(down - up));
        size = root ? (size * ${half}u + root / 2) / root : 0;
        size = size > $half ? $half : size;
        ${name}_unit[i] = (int16_t)(${name}_feature(i) < 0 ? -(int32_t)size : (int32_t)size);
    }
}

""")


def means(spec: CnnSpec, name: str, length: WholeLength | None) -> str:
    """Features as means over all places, of 16 bits."""
    last = spec.convs[-1]
    positions = last.out_size**2
    factor = f" * {length.finer}" if length and length.finer > 1 else ""
    mean = f"({name}_totals[i]{factor} + {positions // 2}u) / {positions}u"
    return _MEANS.substitute(
        name=name,
        side=last.out_size,
        depth=len(spec.convs),
        line=last.out_size * last.out_channels,
        inputs=last.out_channels,
        mean=f"{name}_totals[i] = {mean}" if length else f"{name}_features[i] = (uint16_t)({mean})",
    )


def length_functions(spec: CnnSpec, length: WholeLength, name: str) -> str:
    """Functions that scale features, of `name_totals` or `name_features`, into `name_unit`."""
    upper, channels = name.upper(), spec.convs[-1].out_channels
    per_channel = spec.head == "average"
    at = "i" if per_channel else f"i % {channels}"
    value = f"(int32_t){name}_{'totals' if per_channel else 'features'}[i]"
    if has_factors(length):
        value += f" * {upper}_INT16({name}_length_factor + {at})"
    if length.zero.any():
        value += f" - {upper}_INT32({name}_length_zero + {at})"
    return _FUNCTIONS.substitute(
        name=name,
        upper=upper,
        value=value,
        features=spec.feature_count,
        most=largest_part(spec.feature_count),
        half=HALF,
    )


def has_factors(length: WholeLength) -> bool:
    """Whether levels of channels stand for different steps."""
    return bool((length.factor != 1).any())
