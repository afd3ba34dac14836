"""The network: a small U-Net from an image to the scores of the classes of each pixel."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import interpolate, pad, pixel_unshuffle

CLASSES = ("brick", "grass", "gravel")
WIDTHS = (16, 32, 48)  # channels at 1/2, 1/4 and 1/8 of the resolution


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return two 3 x 3 convolutions, the first with a stride."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Network(nn.Module):
    """Score each pixel for each class.

    Source: Ronneberger, Fischer & Brox 2015 (U-Net), doi:10.1007/978-3-319-24574-4_28; 2 x 2 blocks of pixels enter as
    channels, which makes each convolution four times cheaper.
    """

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth = WIDTHS
        self.enter = block(4, half)
        self.down = block(half, quarter, stride=2)
        self.bottom = nn.Sequential(block(quarter, eighth, stride=2), block(eighth, eighth))
        self.up = block(eighth + quarter, quarter)
        self.leave = block(quarter + half, half)
        self.last = nn.Conv2d(half, len(CLASSES), 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Score a batch.

        Parameters
        ----------
        image : Tensor, shape (n, 1, H, W), float32, mean 0 and standard deviation 1

        Returns
        -------
        Tensor, shape (n, 3, H, W), float32
            Logarithms of the probabilities, up to a constant.
        """
        h, w = image.shape[-2:]
        whole = pad(image, (0, -w % 8, 0, -h % 8), mode="replicate")
        half = self.enter(pixel_unshuffle(whole, 2))
        quarter = self.down(half)
        x = interpolate(self.bottom(quarter), scale_factor=2)
        x = interpolate(self.up(torch.cat([x, quarter], dim=1)), scale_factor=2)
        x = self.last(self.leave(torch.cat([x, half], dim=1)))
        return interpolate(x, scale_factor=2, mode="bilinear")[..., :h, :w]
