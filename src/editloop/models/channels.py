"""Picture conditions: extra channels next to the noisy sample."""

from __future__ import annotations

from torch import Tensor, nn

from editloop.models.wrapper import Injection

__all__ = ["ChannelCondition"]


class ChannelCondition(nn.Module):
    """A latent or a mask as further input channels (InstructPix2Pix, section 3.2).

    It has no weights of its own: the UNet's first convolution is widened for it.
    """

    def forward(self, picture: Tensor) -> Injection:
        """Inject a picture [batch, c, h, w] at the noisy sample's height and width."""
        return Injection(channels=picture)
