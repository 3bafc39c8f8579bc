"""Which column of a table holds the labels: one that is named or told, one for each class, or an error."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from htgen.errors import DataError
from htgen.images.labels import labels_from_csv

_IMAGES = "a.png", "b.png", "c.png", "d.png"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in _IMAGES:
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / name)
    return folder


def read(folder: Path, text: str) -> tuple[dict[str, str], list[str]]:
    """The images of each class by their letters, and the notices without what is said of the table."""
    table = folder.parent / "t.csv"
    table.write_text(text.replace(" ", "\n"))
    found = labels_from_csv(table, folder)
    classes = {name: "".join(path.stem for path in paths) for name, paths in found.classes.items()}
    return classes, [line.replace(f" of {table}", "") for line in found.notices]


@pytest.mark.parametrize(
    "text",
    [
        "file,cat,dog a.png,1,0 b.png,0,1 c.png,0,1 d.png,1,0",
        "cat,dog,photo 1.0,0.0,a.png 0.0,1.0,b.png 0,1.,c.png 1,0,d.png",
        "file,cat,dog a.png,True,False b.png,False,True c.png,False,True d.png,TRUE,FALSE",
        "id,file,cat,dog 0,a.png,1,0 1,b.png,0,1 0,c.png,0,1 1,d.png,1,0",
        ",file,cat,dog 0,a.png,1,0 1,b.png,0,1 0,c.png,0,1 1,d.png,1,0",
        "name,photo,cat,dog x,a.png,1,0 y,b.png,0,1 x,c.png,0,1 y,d.png,1,0",
        "file,cat,fold,dog,ox a.png,1,1,0,0 b.png,0,1,1,0 c.png,0,1,1,0 d.png,1,1,0,0",
    ],
)
def test_each_class_may_have_a_column(text, images):
    columns = "'cat', 'dog', 'ox'" if "ox" in text else "'cat', 'dog'"
    assert read(images, text) == (
        {"cat": "ad", "dog": "bc"},
        [f"warning: the columns {columns} are taken for a class each"],
    )


@pytest.mark.parametrize("names", [("x", "y", "z"), ("class_1", "class_2", "class_3")])
def test_columns_of_classes_may_be_called_as_labels_are(names, images):
    text = (
        f"file,{','.join(names)},split a.png,1,0,0,train b.png,0,1,0,test c.png,0,0,1,train d.png,0,1,0,train"
    )
    classes, notices = read(images, text)
    assert classes == dict(zip(names, ("a", "bd", "c"), strict=True))
    assert notices[1] == "warning: all lines are taken, whatever 'split' says: train (3), test (1)"
    with pytest.raises(DataError, match=r"gives a\.png 2 labels") as caught:
        read(images, text.replace("a.png,1,0", "a.png,1,1"))
    assert caught.value.hint.endswith("call the column of the labels 'label'")


def test_lines_without_a_class_are_told_where_most_have_one(images):
    classes, notices = read(images, "file,p,q,r a.png,1,0,0 b.png,0,1,0 c.png,0,0,0 d.png,0,1,0")
    assert classes == {"p": "a", "q": "bd"}
    assert notices[:2] == [
        "warning: the columns 'p', 'q', 'r' are taken for a class each",
        "warning: lines without an image or a label in " + str(images.parent / "t.csv") + ": 1",
    ]
    for text in (
        "file,p,q a.png,1,0 b.png,0,1 c.png,0,0 d.png,0,1",
        "file,p,q,r a.png,1,0,0 b.png,0,1,0 c.png,0,0,0 d.png,0,0,0",
        "file,p,q a.png,1,0 b.png,1,0 c.png,1,0 d.png,1,0",
    ):
        with pytest.raises(DataError, match="have no one") as caught:
            read(images, text)
        assert "'label'" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("file,sick,fold a.png,0,0 b.png,1,0 c.png,1,0 d.png,0,0", "sick"),
        ("filename,digit,fold a.png,0,1 b.png,1,0 c.png,1,1 d.png,0,0", "digit"),
        ("filename,species,width a.png,0,5 b.png,1,6 c.png,1,7 d.png,0,8", "species"),
        ("id,breed,extra a,0,x b,1,y c,1,z d,0,x", "breed"),
        ("breed,photo,extra 0,a.png,x 1,b.png,y 1,c.png,z 0,d.png,x", "breed"),
        ("file,kind,turned,flipped a.png,0.,0,0 b.png,1.,1,1 c.png,1.,0,1 d.png,0.,0,1", None),
        ("file,kind,p,q a.png,no,0,0 b.png,yes,1,1 c.png,yes,0,1 d.png,no,0,1", "kind"),
    ],
)
def test_the_column_beside_the_images_is_taken_with_a_notice(text, column, images):
    """As long as nothing else may be meant: of several columns of ones and zeros any may be."""
    if column is None:
        with pytest.raises(DataError, match="labels: 'kind', 'turned', 'flipped'") as caught:
            read(images, text)
        assert "'label'" in caught.value.hint
        text, column = text.replace("kind", "label"), "label"
        assert read(images, text) == ({"0.": "ad", "1.": "bc"}, [])
        return
    classes, notices = read(images, text)
    assert sorted(classes.values()) == ["ad", "bc"]
    assert notices[-1] == f"warning: the labels are those of the column '{column}', as none is called 'label'"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "file,kind,p,q a.png,no,0,1 b.png,yes,1,0 c.png,yes,0,1 d.png,no,0,1",
            "and there is 'kind' besides",
        ),
        ("file,class,p,q a.png,1,0,0 b.png,0,1,0 c.png,0,1,0 d.png,0,0,1", "or one of them the labels"),
        ("photo,kind,class a.png,x,1 b.png,y,2 c.png,x,1 d.png,y,2", "is called 'file'"),
        ("width,kind,photo 1,x,a.png 2,y,b.png 3,x,c.png", "are in its column 3, which is not called 'file'"),
        ("width,label,photo 1,x,a.png 2,y,b.png 3,x,c.png", "are in its column 3"),
        ("id,photo,kind 1,a.png,x 2,b.png,y 3,c.png,x 4,d.png,y", "none of the 3 columns"),
        ("photo,split,kind a.png,train,x b.png,test,y c.png,test,x d.png,test,y", "none of the 3 columns"),
        ("photo,kind,width a.png,k,1 b.png,l,2 c.png,m,3 d.png,n,4", "none of the 3 columns"),
        ("file,species,x,y a.png,cat,1,2 b.png,cat,3,2 c.png,dog,1,5 d.png,dog,4,5", "'x' and 'y'"),
        ("width,height,breed,file 40,40,cat,a.png 40,40,dog,b.png", "none of the 4 columns"),
        ("file,cat,dog,ox a.png,1,0,0 b.png,1,0 c.png,0,1,0 d.png,0,0,1", "'cat', 'dog', 'ox'"),
        ("file,cat,dog a.png,yes,no b.png,yes,no c.png,no,yes", "'cat', 'dog'"),
        ("file,cat,dog a.png,1,-1 b.png,1,-1 c.png,-1,1", "'cat', 'dog'"),
        ("file,cat,dog a.png,0.9,0.1 b.png,0.9,0.1 c.png,0.2,0.8", "'cat', 'dog'"),
        ("file,cat,dog a.png,1, b.png,1, c.png,,1", "'cat', 'dog'"),
    ],
)
def test_a_table_that_may_be_read_in_two_ways_names_the_column_to_call_label(text, says, images):
    with pytest.raises(DataError, match=says) as caught:
        read(images, text)
    assert "the column of the labels 'label'" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "file,label,p,q a.png,1,0,0 b.png,0,1,0 c.png,0,1,0 d.png,1,0,0",
        "file,label,x,y,w,h a.png,1,3,4,5,6 b.png,0,3,4,5,6 c.png,0,1,0,8,9 d.png,1,0,0,7,7",
        "file,label,checked a.png,1,0 b.png,0,1 c.png,0,1 d.png,1,0",
        "file,y,flipped a.png,1,0 b.png,0,1 c.png,0,1 d.png,1,1",
        "file,class,flipped,turned a.png,1,0,1 b.png,0,1,1 c.png,0,0,0 d.png,1,1,1",
        "file,class,clear,width a.png,1,1,7 b.png,0,0,8 c.png,0,,9 d.png,1,1,8",
        "file,class,other a.png,1,2 b.png,0,1 c.png,0,1 d.png,1,0",
    ],
)
def test_a_column_that_is_named_for_labels_is_read_without_a_word(text, images):
    assert read(images, text) == ({"0": "bc", "1": "ad"}, [])


@pytest.mark.parametrize(
    "first", ["zz.png,cat,3", "zz.tif#2,cat,3", "zz,cat,3", "zz.png,cat", "zz.png,other"]
)
def test_a_first_line_whose_image_is_missing_is_no_header(first, images):
    further = ",5" * (first.count(",") - 1)
    classes, notices = read(images, f"{first} a.png,cat{further} b.png,dog{further} c.png,dog{further}")
    assert classes == (
        {"cat": "a", "dog": "bc", "other": "zz"} if "other" in first else {"cat": "zza", "dog": "bc"}
    )
    assert len(notices) == 1  # on d.png


@pytest.mark.parametrize("header", ["photo,kind", "zz,other", "photo,kind,size"])
def test_a_first_line_that_may_be_an_image_is_told(header, images):
    """Where it is taken for names of columns; with a third column the name of the labels' column is told."""
    size = ",5" * (header.count(",") - 1)
    classes, told = read(images, f"{header} a,cat{size} b,dog{size} c,dog{size} d,cat{size}")
    assert classes == {"cat": "ad", "dog": "bc"}
    names = ", ".join(map(repr, header.split(",")))
    of_columns = f"warning: the first line is taken for names of columns: {names}"
    assert told == (
        [of_columns]
        if not size
        else ["warning: the labels are those of the column 'kind', as none is called 'label'"]
    )


@pytest.mark.parametrize("header", ["photo,kind", "Datei,Etikett", "img,species"])
def test_a_first_line_alone_without_an_ending_is_a_header(header, images):
    lines = "a.png,cat b.png,dog c.png,dog d.png,cat"
    assert read(images, f"{header} {lines}") == ({"cat": "ad", "dog": "bc"}, [])


def test_numbers_before_the_images_are_no_labels(images):
    with pytest.raises(DataError, match="has no header, and its labels may be in column 1 or in column 3"):
        read(images, "0,a.png,cat 1,b.png,dog 2,c.png,dog 3,d.png,cat")
    header = "number,file,label 0,a.png,cat 1,b.png,dog 2,c.png,dog 3,d.png,cat"
    assert read(images, header) == ({"cat": "ad", "dog": "bc"}, [])


@pytest.mark.parametrize("header", ["file,label", "photo,label", "file,kind"])
def test_a_header_of_known_words_is_no_news_unless_it_names_an_image(header, images):
    lines = "a.png,cat b.png,dog c.png,dog d.png,cat"
    assert read(images, f"{header} {lines}") == ({"cat": "ad", "dog": "bc"}, [])
    first, label = header.split(",")
    (images / "d.png").rename(images / f"{first}.png")
    classes, told = read(images, f"{header} {lines.rsplit(maxsplit=1)[0]}")
    if header == "file,label":
        assert classes == {"cat": "a", "dog": "bc"}
        assert told[0] == "warning: the first line is taken for names of columns: 'file', 'label'"
    else:
        assert (classes, told) == ({"cat": "a", "dog": "bc", label: first}, [])


def test_a_column_y_beside_one_of_words_is_told(images):
    _, told = read(images, "file,breed,y\na.png,cat,2\nb.png,cat,2\nc.png,dog,5")
    assert any("those of the column 'y'" in line for line in told)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,n,y a.png,1,0 b.png,0,1 c.png,0,1", "each of the columns 'n', 'y'"),
        ("file,target,background a.png,1,0 b.png,0,1 c.png,0,1", "or one of them the labels"),
        (
            "file,target,background a.png,yes,no b.png,no,yes c.png,no,yes",
            "each of the columns 'target', 'back",
        ),
        (
            "file,target,background,dark a.png,yes,no,no b.png,no,yes,no c.png,no,yes,yes",
            "'target', 'background'",
        ),
        ("file,class,q,r a.png,x,-,- b.png,-,x,- c.png,-,-,x", "each of the columns 'class', 'q', 'r'"),
        ("file,n,y a.png,1, b.png,,1 c.png,,1", "each of the columns 'y', 'n'"),
        ("file,n,y a.png,1,0 b.png,0,1 c.png,,1", "each of the columns 'y', 'n'"),
        ("file,n,y a.png,0.75,0.25 b.png,0.5,.5 c.png,0,1", "each of the columns 'y', 'n'"),
        ("file,set,p,q,r a.png,1,0,0,0 b.png,0,1,0,0 c.png,0,0,1,0 d.png,0,0,0,1", "the column 'set'"),
        ("file,p,name,q,r a.png,0,1,0,0 b.png,1,0,0,0 c.png,0,0,1,0 d.png,0,0,0,1", "the column 'name'"),
        ("file,p,,q,r a.png,0,1,0,0 b.png,1,0,0,0 c.png,0,0,1,0 d.png,0,0,0,1", "the column 3, which has no"),
        ("file,p,p,q a.png,1,0,0 b.png,0,1,0 c.png,0,0,1", "several columns .* are called 'p'"),
    ],
)
def test_a_class_is_not_lost_by_the_title_of_its_column(text, said, images):
    with pytest.raises(DataError, match=said) as caught:
        read(images, text)
    assert caught.value.hint


def test_numbers_beside_a_label_are_no_shares_of_it(images):
    found, told = read(images, "file,kind,weight\na.png,1,0.5\nb.png,0,0.25\nc.png,0,1\nd.png,1,1")
    assert found == {"0": "bc", "1": "ad"}
    assert any("those of the column 'kind'" in line for line in told)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_that_names_the_separator_ends_as_any_line(end, images):
    found, _ = read(images, end.join(["sep=;", "file;label", "a.png;k", "b.png;l"]))
    assert found == {"k": "a", "l": "b"}
