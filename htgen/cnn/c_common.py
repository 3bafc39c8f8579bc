"""What all C of generated CNNs has in common: names, arrays, and what is refused."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from string import Template

import numpy as np
import numpy.typing as npt

from htgen.cnn.bundle import Bundle
from htgen.cnn.spec import CnnSpec
from htgen.errors import ModelError

MOST_CLASSES = 255

_LARGEST_ARRAY = 32767
"""Bytes of the largest array that compilers for 8-bit and 16-bit processors take."""

_KEYWORDS = {
    *("auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum"),
    *("extern", "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return"),
    *("short", "signed", "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void"),
    *("volatile", "while", "asm", "bool", "catch", "class", "delete", "export", "friend", "main"),
    *("namespace", "new", "operator", "private", "protected", "public", "template", "this", "throw"),
    *("true", "false", "try", "typename", "using", "virtual"),
}


@dataclass(frozen=True)
class CCode:
    """C source and what it needs.

    Attributes:
        text: of the header.
        name: what its functions begin with.
        constants: bytes of weights and other constants, which a device keeps in flash.
        buffers: bytes of memory in which an image is worked on, without the image itself.
        multiply_adds: of one image.
        code: about how many bytes of instructions, 0 where that is not known.
        prepares: whether it prepares frames too.
    """

    text: str
    name: str
    constants: int
    buffers: int
    multiply_adds: int
    code: int = 0
    prepares: bool = False


def template(name: str) -> Template:
    """A template of C that lies beside this file."""
    return Template(files("htgen.cnn").joinpath(f"{name}.h.in").read_text(encoding="utf-8"))


def identifier(name: str) -> str:
    """A name that C takes: what cannot stand in one becomes `_`.

    Raises:
        ModelError: nothing is left of it.
    """
    cleaned = re.sub(r"[^0-9A-Za-z_]", "_", name)
    if not re.search(r"[0-9A-Za-z]", cleaned):
        raise ModelError(f"'{name}' has no ASCII letter or digit for a C name", "-o symbols.h")
    usable = re.match(r"[A-Za-z]", cleaned) and cleaned not in _KEYWORDS
    return cleaned if usable else f"cnn_{cleaned}"


def class_constants(bundle: Bundle, name: str) -> Iterator[str]:
    """Lines of an enum, one constant for each class.

    Raises:
        ModelError: there are too many classes, or two of them have the same constant.
    """
    if len(bundle.classes) > MOST_CLASSES:
        raise ModelError(
            f"{len(bundle.classes)} classes; the C has room for {MOST_CLASSES}", "a CNN of fewer classes"
        )
    plain = [_in_c(label) for label in bundle.classes]
    often = {constant for constant, count in Counter(plain).items() if count > 1}
    taken: dict[str, str] = {}
    for index, label in enumerate(bundle.classes):
        constant = f"{name.upper()}_CLASS_{_in_c(label, plain[index] in often)}"
        if constant in taken:
            raise ModelError(
                f"classes '{taken[constant]}' and '{label}' have the same name in C, {constant}",
                "other names of the classes, which are those of their folders",
            )
        taken[constant] = label
        yield f"    {constant} = {index},"


def _in_c(label: str, is_exact: bool = False) -> str:
    """A class's name as a C name takes it, in capitals.

    Letters lose their accents, a blank or another mark of ASCII becomes `_`, and what is of other scripts its
    code point, `U732B`.

    Args:
        is_exact: letters with accents become code points too, as another class has the same name without.
    """
    return "".join(_character_in_c(character, is_exact) for character in label).upper()


def _character_in_c(character: str, is_exact: bool) -> str:
    parts = character if is_exact else unicodedata.normalize("NFKD", character)
    plain = "".join(part for part in parts if is_exact or not unicodedata.combining(part))
    if plain.isascii():
        return re.sub(r"[^0-9A-Za-z]", "_", plain)
    return "_" if character.isspace() else f"U{ord(character):04X}"


def expect_support_norm(spec: CnnSpec) -> None:
    """Refuse norm `batch`.

    Raises:
        ModelError: the CNN has it: it cannot answer for one image.
    """
    if spec.norm == "batch":
        raise ModelError(
            "a CNN with norm batch cannot answer for one image alone", "a generator with norm support"
        )


def array(
    kind: str, name: str, values: npt.NDArray[np.integer] | Iterable[str], where: str = ""
) -> Iterator[str]:
    """Lines of an array of constants.

    Args:
        where: a macro that says in which memory it lies.
    """
    numbers = list(map(str, values.ravel().tolist())) if isinstance(values, np.ndarray) else list(values)
    yield f"static const {kind} {name}[{len(numbers)}]{' ' if where else ''}{where} = {{"
    yield from wrapped(numbers)
    yield "};"


def wrapped(numbers: list[str]) -> Iterator[str]:
    """Numbers as lines of C."""
    for start in range(0, len(numbers), 8):
        yield f"    {', '.join(numbers[start : start + 8])},"


def text(label: str) -> str:
    """A string constant of UTF-8; what is not plain is an octal escape, which no later digit can lengthen."""
    plain = {*range(32, 127)} - {*b'"\\?'}
    return (
        '"'
        + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in label.encode("utf-8", "surrogatepass"))
        + '"'
    )


def comment(words: str) -> str:
    """Words that end no comment."""
    return re.sub(r"[^\w. -]", "_", words)


def expect_small_arrays(sizes: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Lines that refuse a compiler for small processors where an array is too large for it."""
    largest, size = max(sizes, key=lambda pair: pair[1])
    if size > _LARGEST_ARRAY:
        yield "#if defined(__AVR__) || defined(__SDCC)"
        yield f'#error "{largest} has {size} bytes; an array may have {_LARGEST_ARRAY} on this processor"'
        yield "#endif"


def expect_fits(code: CCode, flash: int | None, ram: int | None) -> None:
    """Refuse C that is too large for a device.

    Args:
        flash, ram: bytes that there are, or None where that plays no part.

    Raises:
        ModelError: it is too large.
    """
    needs = (("flash", code.constants + code.code, flash), ("RAM", code.buffers, ram))
    for memory, needed, given in needs:
        if given is not None and needed > given:
            raise ModelError(
                f"the CNN needs about {needed} bytes of {memory}, more than the {given} that there are",
                "a smaller generator such as glyph-8, or fewer classes",
            )
