import os
from pathlib import Path

import pytest

from editloop.errors import RecipeError
from editloop.rating.votes import Rating, Vote, read_judgements

HEAD = "item,editor_a,editor_b,question,answer,rater,order"


def written(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "votes.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def test_the_answer_follows_the_editor_and_not_the_column_shown_first(tmp_path: Path) -> None:
    path = written(
        tmp_path, HEAD, "i,x,y,q,a,r,ab", "i,x,y,q,a,r,ba", "i,x,y,q,Tie,r,", "i,x,y,q,both_bad,r,"
    )
    found = read_judgements(path)
    assert [(v.first, v.second, v.answer, v.ordered) for v in found if isinstance(v, Vote)] == [
        ("x", "y", "first", True),
        ("y", "x", "second", True),
        ("x", "y", "tie", False),
        ("x", "y", "both_bad", False),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_marks_blank_lines_and_quoted_newlines_are_read(
    tmp_path: Path, separator: str, encoding: str
) -> None:
    lines = [HEAD, 'i,x,"y\nz",q,b,r,', ",,,,,,", ""]
    text = [line.replace(",", separator) for line in lines]
    (vote,) = read_judgements(written(tmp_path, *text, encoding=encoding))
    assert isinstance(vote, Vote)
    assert (vote.second, vote.answer) == ("y\nz", "second")


def test_ratings_are_read_by_their_value_column(tmp_path: Path) -> None:
    path = written(tmp_path, "item,editor,question,value,rater,kind", "i,x,q,3.5,r,judge")
    assert read_judgements(path) == [
        Rating(item="i", question="q", rater="r", kind="judge", editor="x", value=3.5)
    ]


def test_a_vote_that_was_sent_twice_counts_once(tmp_path: Path) -> None:
    rows = [f"{HEAD},nonce", "i,x,y,q,a,r,ab,n1", "i,x,y,q,a,r,ab,n1", "i,x,y,q,a,r,ab,n2"]
    assert len(read_judgements(written(tmp_path, *rows))) == 2
    with pytest.raises(RecipeError, match=r"line 3: the nonce 'n1' has another answer"):
        read_judgements(written(tmp_path, *rows[:2], "i,x,y,q,b,r,ab,n1"))


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ([HEAD], "there are no judgements"),
        ([HEAD.replace("rater", "who")], "there is no column 'rater'"),
        ([f"{HEAD},colour"], "unknown column 'colour'"),
        ([f"{HEAD},item"], "a column is there twice"),
        ([HEAD, "i,x,y,q,left,r,"], "line 2: unknown answer 'left'"),
        ([HEAD, "i,x,y,q,a,r,1"], "line 2: unknown order '1'"),
        ([HEAD, "i,x,x,q,a,r,"], "line 2: editor 'x' is compared with itself"),
        ([HEAD, "i,x,y,q,a,,"], "line 2: rater is empty"),
        ([HEAD, "i,x,y,q,a,r,,more"], "line 2: it has more cells"),
        (["item,editor,question,value,rater", "i,x,q,good,r"], "line 2: value 'good' is not"),
        (["item,editor,question,value,rater", "i,x,q,nan,r"], "line 2: value 'nan' is not"),
        ([f"{HEAD},value"], "either votes"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, lines: list[str], cause: str
) -> None:
    with pytest.raises(RecipeError, match=cause.replace("(", r"\(")):
        read_judgements(written(tmp_path, *lines))


def test_a_pipe_and_a_missing_file_are_no_csv(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("pipe.csv", "missing.csv"):
        with pytest.raises(RecipeError, match="no such file"):
            read_judgements(tmp_path / name)


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD, "i,x,é,q,a,r,", encoding="latin-1")
    with pytest.raises(RecipeError, match="must be UTF-8"):
        read_judgements(path)
