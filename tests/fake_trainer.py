"""A stand-in for diffusers' training script, for tests: its arguments and its order of work."""

import argparse

import numpy as np
import torch
from datasets import load_dataset
from diffusers import AutoencoderKL, UNet2DConditionModel
from torchvision import transforms
from transformers import CLIPTextModel, CLIPTokenizer

COLUMNS = ("original_image", "edited_image", "edit_prompt")


def main() -> None:
    options = _options()
    base = options.pretrained_model_name_or_path
    torch.manual_seed(int(options.seed))
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet")
    vae = AutoencoderKL.from_pretrained(base, subfolder="vae")
    tokenizer = CLIPTokenizer.from_pretrained(base, subfolder="tokenizer")
    encoder = CLIPTextModel.from_pretrained(base, subfolder="text_encoder")
    optimiser = torch.optim.AdamW(unet.parameters(), lr=float(options.learning_rate))
    change = transforms.Compose(
        [transforms.RandomCrop(int(options.resolution)), transforms.RandomHorizontalFlip()]
    )
    rows = load_dataset(options.dataset_name, cache_dir=options.cache_dir)["train"]
    count = int(options.train_batch_size)
    for step in range(int(options.max_train_steps)):
        start = step * count % len(rows)
        source, target, texts = (
            [rows[at][getattr(options, f"{name}_column")] for at in range(start, start + count)]
            for name in COLUMNS
        )
        with torch.no_grad():
            latents = vae.encode(change(_values(target))).latent_dist.sample()
            source_latents = vae.encode(change(_values(source))).latent_dist.mode()
            hidden = encoder(_ids(tokenizer, texts))[0]
            encoder(_ids(tokenizer, [""]))
        output = unet(latents + source_latents, torch.zeros(count), hidden).sample
        output.square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()


def _values(images: list) -> torch.Tensor:
    pixels = np.stack([np.array(each.convert("RGB")) for each in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1


def _ids(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    return tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("pretrained_model_name_or_path", "dataset_name", "resolution", "learning_rate"):
        parser.add_argument(f"--{name}")
    for name in ("train_batch_size", "max_train_steps", "seed", "cache_dir", "mixed_precision"):
        parser.add_argument(f"--{name}")
    for name in COLUMNS:
        parser.add_argument(f"--{name}_column")
    return parser.parse_known_args()[0]


if __name__ == "__main__":
    main()
