"""What comes to the page as archives, and what leaves it as such."""

import io
import zipfile

import pytest
from helpers.served import cross, hook, png

from htgen.app.downloads import support_files
from htgen.app.session import Session
from htgen.app.uploads import Upload, file_name, read_archive, write_archive
from htgen.errors import DataError
from htgen.images.labels import find_labeled


def test_names_in_archives_fit_every_file_system():
    taken: set[str] = set()
    names = [
        file_name(name, taken, ".png") for name in ("\U0001f600" * 80, "CON", "con.x", "\u0647" * 200, "..")
    ]
    assert all(0 < len(name.encode()) <= 200 for name in names)
    assert names[1:3] == ["_CON.png", "_con.x.png"]
    assert len({name.lower() for name in names}) == len(names)


def test_an_archive_without_an_image_leaves_what_was_there():
    session = Session("glyph-8")
    data = write_archive({"a/x.txt": b"no image", "b/y.txt": b"no image"})
    session.add_class("kept")
    with pytest.raises(DataError, match="no image that can be read"):
        session.open_archive(data)
    assert [found.name for found in session.classes.values()] == ["kept"]


def test_damage_inside_an_archive_is_told():
    data = bytearray(write_archive({"a/x.png": bytes(range(256)) * 40}))
    data[60:90] = bytes(30)
    with pytest.raises(DataError):
        read_archive(bytes(data))


NAMES = [
    *("a/b", "a:b", "CON", "nul.x", "end.", ".net", "..", "__MACOSX", "thumbs", "Thumbs 2", "lost+found"),
    *("A", "a", "caf\u00e9", "stra\u00dfe", "STRASSE", "\u65e5\u672c"),
    *('=1+1,"q";x', "labels.csv", "x" * 80),
]


def of_names(names: list[str]) -> Session:
    session = Session("glyph-8")
    for place, name in enumerate(names):
        make = (cross, hook)[place % 2]
        session.add_images(session.add_class(name), [Upload("1.png", png(make(place)))])
    return session


def test_a_name_in_two_unicode_forms_is_one_class():
    session = of_names(["cafe\u0301"])
    (made,) = session.classes.values()
    assert made.name == "caf\u00e9"
    with pytest.raises(DataError, match="there is a class"):
        session.add_class("cafe\u0301")
    packed = write_archive({f"{name}/1.png": png(cross(0)) for name in ("caf\u00e9", "cafe\u0301")})
    assert session.open_archive(packed) == []
    (read,) = session.classes.values()
    assert (read.name, len(read.images)) == ("caf\u00e9", 2)


def test_classes_have_their_names_again_whatever_these_are(tmp_path):
    session, again = of_names(NAMES), Session("glyph-8")
    packed = write_archive(support_files(session))
    assert again.open_archive(packed) == []
    for one, other in zip(session.classes.values(), again.classes.values(), strict=True):
        assert other.name == one.name
        assert [image.upload.data for image in other.images.values()] == [
            image.upload.data for image in one.images.values()
        ]
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        folders = [path.split("/")[0] for path in archive.namelist() if "/" in path]
        assert len({folder.lower() for folder in folders}) == len(NAMES)
        archive.extractall(tmp_path)
    found = find_labeled(tmp_path, tmp_path / "labels.csv")
    assert sorted(found.classes) == sorted(NAMES)
    (told,) = found.notices
    assert "capital letters alone" in told
    assert told.endswith("'A' and 'a'")
    (told,) = find_labeled(tmp_path).notices  # its classes have the names of folders
    assert told.endswith(f"are read with --labels alone, in {tmp_path}: labels.csv")


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_a_folder_that_was_unpacked_and_zipped_again_has_its_names(start):
    files = support_files(of_names(["a/b", "A:b"]))
    files["labels.csv"] = start + files["labels.csv"]
    classes, told = read_archive(write_archive({f"support/{path}": data for path, data in files.items()}))
    assert list(classes) == ["a/b", "A:b"]
    assert told == []
    packed = write_archive({"more/a/1.png": b"x", "more/b/1.png": b"x"})
    assert list(read_archive(packed)[0]) == ["a", "b"]


def test_folders_that_have_the_names_need_no_table():
    session = of_names(["class 1", "\u65e5\u672c"])
    assert list(support_files(session)) == ["class 1/1.png", "\u65e5\u672c/1.png"]


@pytest.mark.parametrize("table", [b"\n" * (40 << 20), b"file,label\n\0", b"\xff", b'file,label\n"', b""])
def test_a_table_that_says_nothing_is_another_file(table):
    classes, told = read_archive(write_archive({"labels.csv": table, "/a/1.png": b"x", "/2.png": b"x"}))
    assert list(classes) == ["a"]
    assert told == ["warning: left out, as it lies in no folder of a class: labels.csv; 2.png"]


def test_what_an_archive_holds_beside_images_of_classes_is_told():
    packed = write_archive(
        {
            **{"top.png": b"", "notes.txt": b"", "a/1.png": b"x", "more/b/1.png": b"x", ".net/1.png": b"x"},
            **{"Thumbs/1.png": b"x", "a/thumbnails/1.png": b"x"},
            **{"a/.2.png": b"x", "__MACOSX/a/._1.png": b"x", "a/.DS_Store": b"x", "a/Thumbs.db": b"x"},
            "labels.csv": b"file,label\na/1.png,other\n",  # of some of the images: another table
        }
    )
    classes, told = read_archive(packed)
    assert {name: [upload.name for upload in uploads] for name, uploads in classes.items()} == {
        **{"a": ["1.png"], "b": ["1.png"]}
    }
    assert told == [
        "warning: left out, as it lies in no folder of a class: top.png; notes.txt; labels.csv",
        "warning: left out, as its name or folder begins with a dot: .net/1.png; a/.2.png",
        "warning: left out, as a folder of that name holds thumbnails: Thumbs/1.png; a/thumbnails/1.png",
    ]
