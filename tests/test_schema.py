"""Records and their canonical JSON."""

import pickle

import pytest

from editloop.errors import ImageError
from editloop.schema import canonical_json


def test_canonical_json_does_not_depend_on_order() -> None:
    assert (
        canonical_json({"b": 1, "a": "é"})
        == canonical_json({"a": "é", "b": 1})
        == '{"a":"é","b":1}'
    )


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})


def test_an_error_survives_pickling_with_its_parts() -> None:
    error = ImageError("truncated", "the file ends early", value="a.jpg", fix="copy it again")
    again = pickle.loads(pickle.dumps(error))
    assert (again.code, str(again)) == ("truncated", str(error))
    assert "a.jpg" in str(again)
    assert "copy it again" in str(again)
