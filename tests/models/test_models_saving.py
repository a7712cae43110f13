import hashlib
import json

import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel

from editloop.errors import StoreError
from editloop.models.saving import INDEX, load_model, save_model
from networks import awake, inputs_for, pocket


def predict(model):
    inputs = inputs_for(model)
    noisy = torch.randn(inputs.source.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model(noisy, torch.tensor([3, 700]), inputs)


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.mark.parametrize("conditions", [(), ("mask", "reward")])
def test_a_loaded_model_answers_as_the_saved_one(tmp_path, conditions) -> None:
    model = pocket(*conditions)
    awake(model)
    save_model(model, tmp_path, {"steps": 3})
    assert torch.equal(predict(load_model(tmp_path)), predict(model))


def test_the_index_tells_how_it_was_made(tmp_path) -> None:
    save_model(pocket(), tmp_path, {"steps": 3})
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["facts"] == {"steps": 3}
    assert index["settings"]["conditions"] == ["source"]


def test_equal_models_give_equal_files(tmp_path) -> None:
    for name in ("first", "again"):
        save_model(pocket("reward"), tmp_path / name, {})
    assert digests(tmp_path / "first") == digests(tmp_path / "again")


def test_its_parts_load_in_their_own_libraries(tmp_path) -> None:
    model = pocket()
    awake(model)
    save_model(model, tmp_path, {})
    unet = UNet2DConditionModel.from_pretrained(tmp_path / "unet")
    words = CLIPTextModel.from_pretrained(tmp_path / "text_encoder")
    for again, own in ((unet, model.network.unet), (words, model.text_encoder)):
        assert all(
            torch.equal(each, own.state_dict()[name]) for name, each in again.state_dict().items()
        )


def test_a_folder_without_a_model_is_named(tmp_path) -> None:
    with pytest.raises(StoreError, match="no readable index"):
        load_model(tmp_path)


def test_a_model_of_another_kind_is_refused(tmp_path) -> None:
    (tmp_path / INDEX).write_text('{"kind": "telescope"}')
    with pytest.raises(StoreError, match="telescope"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model.safetensors", "tokenizer/tokenizer.json"]
)
@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_a_damaged_model_is_refused(tmp_path, name, harm) -> None:
    save_model(pocket(), tmp_path, {})
    path = tmp_path / name
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match="damaged"):
        load_model(tmp_path)


@pytest.mark.parametrize("said", [None, "{}", "[]"])
def test_a_tokenizer_that_is_not_whole_is_a_damaged_model(tmp_path, said) -> None:
    save_model(pocket(), tmp_path, {})
    path = tmp_path / "tokenizer" / "tokenizer_config.json"
    path.unlink() if said is None else path.write_text(said)
    with pytest.raises(StoreError, match="a model folder is damaged"):
        load_model(tmp_path)
