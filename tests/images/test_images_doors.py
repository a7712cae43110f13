"""One reading of pictures at every door by which they come in: what is odd is the same everywhere.

Each odd picture stands beside its plain PNG, so every door must find no difference between them.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image as Pillow

import icc_profiles
from editloop.commands.terminal import print_results
from editloop.editors.edit import edit
from editloop.editors.recorded import RecordedEditor
from editloop.errors import ImageError, RecipeError
from editloop.evaluation.evaluate import evaluate
from editloop.images.codec import decode, decode_bare, encode_jpeg, encode_png
from editloop.judges.judge_data import judge
from editloop.judges.samples import sample_pair
from editloop.metrics.embeddings import Embeddings
from editloop.metrics.metric_set import choose
from editloop.quality.pairs import measure_samples
from editloop.schema import EditRequest, EditSample, Image, Json, Pixels, Score, Unscored
from editloop.showing.thumbnails import LightPictures
from editloop.sources.hashes import picture_hash
from editloop.sources.import_data import import_data
from editloop.sources.scenes import photo
from editloop.storage.samples import read_samples
from editloop.training.triples import decoded
from evaluation_cards import own_card
from layout_folders import metadata, put
from odd_images import saved


def cat() -> Pixels:
    return np.ascontiguousarray(photo("chelsea")[60:124, 80:176])


def phone() -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    return saved(np.ascontiguousarray(np.rot90(cat())), "JPEG", exif=exif)


def deep() -> bytes:
    return saved(cat()[..., 1].astype(np.uint16) * 257, "PNG")


def cut_out() -> bytes:
    alpha = np.full(cat().shape[:2], 255, np.uint8)
    alpha[:, :30] = 0
    return saved(np.dstack([cat(), alpha]), "PNG")


def wide_gamut() -> bytes:
    return saved(cat(), "PNG", icc_profile=icc_profiles.red_is_green())


ODD: dict[str, Callable[[], bytes]] = {
    "phone": phone,
    "deep": deep,
    "cut_out": cut_out,
    "wide_gamut": wide_gamut,
}


def plain(odd: bytes) -> bytes:
    return encode_png(decode(odd))


def damaged() -> bytes:
    """A JPEG without a piece of its data, but with its end mark."""
    data = encode_jpeg(photo("chelsea")[:200, :240], 90)
    half = len(data) // 2
    return data[:half] + data[half + 900 :]


def pair(odd: str) -> EditSample:
    data = ODD[odd]()
    return EditSample("a", Image(data), "go", Image(plain(data)))


def rows(folder: Path, pictures: dict[str, tuple[bytes, bytes]]) -> Path:
    """A data set with a source and a target under each id."""
    for name, (source, target) in pictures.items():
        put(folder / f"{name}-source", source)
        put(folder / f"{name}-target", target)
    return metadata(
        folder,
        [
            {"id": name, "source": f"{name}-source", "target": f"{name}-target", "instruction": "x"}
            for name in pictures
        ],
    )


@pytest.mark.parametrize("odd", ODD)
def test_the_bare_reading_would_be_another(odd: str) -> None:
    data = ODD[odd]()
    bare, whole = decode_bare(data), decode(data)
    assert bare.shape != whole.shape or np.abs(bare.astype(int) - whole).mean() > 10


@pytest.mark.parametrize("odd", ODD)
def test_an_edit_starts_from_what_a_person_sees(odd: str, tmp_path: Path) -> None:
    put(tmp_path / "photo", ODD[odd]())
    (edited,) = edit(tmp_path / "photo", "go", editor="copy")
    assert np.array_equal(edited, decode(plain(ODD[odd]())))


@pytest.mark.parametrize("odd", ODD)
def test_data_are_measured_judged_hashed_and_trained_on_alike(odd: str, tmp_path: Path) -> None:
    sample = pair(odd)
    metrics = {"l1": choose({"kind": "pixels", "target": "l1", "against": "source"})}
    (numbers,) = measure_samples([sample], metrics, Embeddings(tmp_path))
    assert isinstance(numbers["l1"], Score)
    assert numbers["l1"].value == 0
    judged = sample_pair(sample).pair
    assert judged is not None
    assert np.array_equal(judged.source, judged.edited)
    triple = decoded(sample)
    assert np.array_equal(triple.source, triple.target)
    assert sample.target is not None
    assert picture_hash(sample.source_image) == picture_hash(sample.target)
    shown = LightPictures()
    uris = {shown.shown("", each.bytes, "").uri for each in (sample.source, sample.target)}
    assert len(uris) == 1


@pytest.mark.parametrize("odd", ODD)
def test_a_recorded_output_is_read_alike_where_it_is_edited_with(odd: str, tmp_path: Path) -> None:
    put(tmp_path / "a.png", ODD[odd]())
    editor = RecordedEditor(RecordedEditor.Settings(target=tmp_path))
    (edited,) = editor.edit([EditRequest("a", cat(), "go")])
    assert np.array_equal(edited, decode(ODD[odd]()))


def evaluated(folder: Path, pictures: dict[str, tuple[bytes, bytes]], outputs: dict[str, bytes]):
    data = rows(folder / "data", pictures)
    for name, output in outputs.items():
        put(folder / "outputs" / f"{name}.png", output)
    card = own_card(folder, data={"layout": "metadata"}, benchmarks={"test": {}})
    editors = ["copy", f"theirs=recorded:{folder / 'outputs'}"]
    return evaluate(card, data, editors, folder / "out", metrics=["l1"])


@pytest.mark.slow
def test_an_evaluation_reads_sources_targets_and_outputs_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = {name: make() for name, make in ODD.items()}
    pictures = {name: (data, plain(data)) for name, data in odd.items()}
    results = evaluated(tmp_path, pictures, odd)
    found = results["evaluation"]["magicbrush/test"]
    assert {name: scores["l1"]["mean"] for name, scores in found.items()} == {
        "copy": 0,
        "theirs": 0,
    }
    why = {
        "phone": "EXIF orientation 6",
        "deep": "16 bit grey",
        "cut_out": "transparency",
        "wide_gamut": "a colour profile",
    }
    facts = results["benchmarks"]["magicbrush/test"]
    assert facts["read_differently"] == {
        "count": 4,
        "first": [f"{name} source: {reason}" for name, reason in why.items()],
    }
    assert facts["editors"][0]["unusual"] is None
    assert facts["editors"][1]["unusual"] == {
        "count": 4,
        "first": [
            f'{name}: `convert("RGB")` alone would ignore its {reason}'
            for name, reason in why.items()
        ],
    }
    assert facts["protocol"]["reading"] == "normalised"
    assert "EXIF orientation 6" in (tmp_path / "out/report.html").read_text()
    print_results(results)
    assert "warning: 4 pictures of the data" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.slow
def test_a_card_may_name_the_bare_reading(tmp_path: Path) -> None:
    data = rows(tmp_path / "data", {"a": (deep(), plain(deep()))})
    changes: Json = {"data": {"layout": "metadata"}, "benchmarks": {"test": {}}}

    def l1(**reading: str) -> float:
        card = own_card(tmp_path, **changes, **reading)
        results = evaluate(card, data, ["copy"], tmp_path / "out", metrics=["l1"])
        found: float = results["evaluation"]["magicbrush/test"]["copy"]["l1"]["mean"]
        return found

    white = np.abs(255 - decode(deep()).astype(float)).mean() / 255
    assert l1() == 0
    assert l1(reading="bare") == pytest.approx(white)
    assert l1() == 0


@pytest.mark.slow
def test_every_output_of_another_size_is_listed(tmp_path: Path) -> None:
    source = encode_png(cat())
    outputs = {
        "same": source,
        "half": encode_png(cat()[::2, ::2]),
        "strip": encode_png(np.hstack([cat(), cat()])),
    }
    results = evaluated(tmp_path, dict.fromkeys(outputs, (source, source)), outputs)
    assert results["benchmarks"]["magicbrush/test"]["editors"][1]["unusual"] == {
        "count": 2,
        "first": [
            "half: 48 x 32, its source 96 x 64: it is scaled",
            "strip: 192 x 64, its source 96 x 64: it is stretched",
        ],
    }


@pytest.mark.slow
def test_an_import_stores_what_a_person_sees(tmp_path: Path) -> None:
    odd = {name: make() for name, make in ODD.items()}
    data = rows(tmp_path / "data", {name: (each, plain(each)) for name, each in odd.items()})
    import_data("metadata", data, tmp_path / "out", workers=1)
    stored = list(read_samples(tmp_path / "out/data", "train"))
    assert {each.id for each in stored} == set(odd)
    for each in stored:
        assert each.target is not None
        assert np.array_equal(decode_bare(each.source_image.bytes), decode(odd[each.id]))
        assert np.array_equal(decode_bare(each.target.bytes), decode(odd[each.id]))


def test_a_damaged_picture_is_a_fault_with_its_samples_id(tmp_path: Path) -> None:
    sample = EditSample("a", Image(damaged()), "go", Image(damaged()))
    metrics = {"l1": choose({"kind": "pixels", "target": "l1", "against": "source"})}
    (numbers,) = measure_samples([sample], metrics, Embeddings(tmp_path))
    assert isinstance(numbers["l1"], Unscored)
    assert "damaged" in sample_pair(sample).reason
    with pytest.raises(ImageError, match="damaged") as caught:
        decoded(sample)
    assert str(caught.value.value).startswith("a (Corrupt JPEG data")
    put(tmp_path / "photo.jpg", damaged())
    with pytest.raises(ImageError, match="damaged") as caught:
        edit(tmp_path / "photo.jpg", "go", editor="copy")
    assert str(caught.value.value).startswith(f"{tmp_path / 'photo.jpg'} (Corrupt JPEG data")


@pytest.mark.slow
def test_an_evaluation_of_damaged_pictures_is_refused_with_their_ids(tmp_path: Path) -> None:
    whole = encode_png(photo("chelsea")[:200, :240])
    pictures = {"whole": (whole, whole), "hurt": (damaged(), whole)}
    with pytest.raises(RecipeError, match="1 problem in the data") as caught:
        evaluated(tmp_path / "data", pictures, {"whole": whole, "hurt": whole})
    assert "hurt-source" in str(caught.value)
    assert "Corrupt JPEG data" in str(caught.value)
    with pytest.raises(RecipeError, match="1 problem in recorded pictures") as caught:
        evaluated(tmp_path / "made", {"whole": (whole, whole)}, {"whole": damaged()})
    assert "whole.png cannot be read: the picture is damaged" in str(caught.value)


@pytest.mark.slow
def test_imported_and_judged_damage_is_quarantined_under_its_id(tmp_path: Path) -> None:
    whole = encode_png(photo("chelsea")[:200, :240])
    data = rows(tmp_path / "data", {"whole": (whole, whole), "hurt": (damaged(), whole)})
    import_data("metadata", data, tmp_path / "import", workers=1)
    put(tmp_path / "mood/mood", "calm")
    moody = f"moody=python:judging_parts:Moody?target={tmp_path / 'mood'}"
    judge(data, moody, tmp_path / "judged", workers=1)
    for run in ("import", "judged"):
        (row,) = pq.read_table(tmp_path / run / "rejects/quarantined.parquet").to_pylist()
        assert (row["id"], row["code"]) == ("hurt", "broken")
        assert "Corrupt JPEG data" in json.dumps(row, default=str)
