import torch

from editloop.models.local_blend import LocalBlend, blend_mask

TOKENS = 77


def test_a_blend_mask_is_where_the_words_attend() -> None:
    maps = torch.zeros(2, 16, TOKENS)  # 4 x 4
    maps[0, 0, 3] = 1.0  # the source's word: the first corner
    maps[1, 15, 7] = 0.5  # the target's word: the last corner
    maps[1, 3, 7] = 0.1  # below the threshold: a fifth of the maximum
    maps[:, 12, 9] = 9.0  # another word
    words = torch.zeros(2, TOKENS)
    words[0, 3] = words[1, 7] = 1
    mask = blend_mask(maps, words, (4, 4), (8, 8), threshold=0.3)[0, 0]
    wanted = torch.zeros(8, 8, dtype=torch.bool)
    wanted[:4, :4] = wanted[4:, 4:] = True  # pooling takes in the neighbours
    assert torch.equal(mask, wanted)


def test_blending_keeps_the_source_elsewhere() -> None:
    words = torch.zeros(2, TOKENS)
    words[:, 3] = 1
    made = LocalBlend(words, (16, 16), steps=4, start=0.5)
    assert made.reads(16)
    assert not made.reads(64)
    maps = torch.zeros(2, 1, 16, TOKENS)
    maps[:, :, 0, 3] = 1.0
    made.see(maps)
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(made.blended(latents, 1), latents)  # blending has not begun
    blended = made.blended(latents, 2)
    assert torch.equal(blended[0], latents[0])
    assert torch.equal(blended[1, :, :8, :8], latents[1, :, :8, :8])
    assert torch.equal(blended[1, :, 8:], latents[0, :, 8:])
