"""Train the network of the algorithm ``texture`` and write its weights.

    python notebooks/training/train_texture.py

About a minute on two cores. The pictures come with scikit-image; nothing is downloaded. The left half of each is used for
training, the right half is never seen; the accuracy printed at the end, and quoted in the algorithm's description, is
measured there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, uniform_filter
from skimage import data
from torch.nn.functional import cross_entropy

FOLDER = Path(__file__).parents[1] / "algorithms" / "texture"
sys.path.insert(0, str(FOLDER))
from network import CLASSES, Network  # noqa: E402

STEPS = 400
BATCH = 8
SIZE = 96  # px


def mosaic(halves: list[np.ndarray], size: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Lay crops of the textures side by side in random blobs.

    Each crop gets a brightness and contrast of its own, so that only the texture tells them apart.

    Parameters
    ----------
    halves : list of ndarray, shape (H, W), counts
        One picture per class.
    size : int, px
    random : Generator

    Returns
    -------
    image : ndarray, shape (size, size), float32, mean 0 and standard deviation 1
    labels : ndarray, shape (size, size), int64
        Index of the class.
    """
    fields = [gaussian_filter(random.normal(size=(size, size)), size / 8, mode="wrap") for _ in halves]
    labels = np.argmax(fields, axis=0)
    image = np.zeros((size, size), np.float32)
    for number, half in enumerate(halves):
        y, x = (random.integers(n - size + 1) for n in half.shape)
        crop = np.rot90(half[y : y + size, x : x + size], random.integers(4))
        crop = (crop - crop.mean()) / crop.std() * random.uniform(0.7, 1.3) + random.normal(0, 0.3)
        image[labels == number] = crop[labels == number]
    image += random.normal(0, random.uniform(0, 0.2), image.shape)
    return ((image - image.mean()) / image.std()).astype(np.float32), labels


def train(halves: list[np.ndarray]) -> Network:
    """Train from fixed seeds: the same weights on the same machine."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=STEPS)
    started = time.perf_counter()
    for step in range(STEPS):
        images, labels = zip(*(mosaic(halves, SIZE, random) for _ in range(BATCH)), strict=True)
        loss = cross_entropy(
            network(torch.from_numpy(np.stack(images))[:, None]), torch.from_numpy(np.stack(labels))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            print(
                f"step {step + 1}  loss {loss.item():.3f}  {time.perf_counter() - started:.0f} s", flush=True
            )
    return network.eval()


def local_statistics(image: np.ndarray) -> np.ndarray:
    """Return mean and logarithm of the standard deviation around each pixel, shape (H, W, 2): the classical features."""
    mean = uniform_filter(image, 17)
    deviation = np.sqrt(np.maximum(uniform_filter(image**2, 17) - mean**2, 1e-6))
    return np.stack([mean, np.log(deviation)], axis=-1)


@torch.inference_mode()
def evaluate(
    network: Network, seen: list[np.ndarray], unseen: list[np.ndarray], count: int = 12
) -> tuple[float, float]:
    """Return the part of the pixels that are right on unseen mosaics: network, and nearest mean of local statistics."""
    random = np.random.default_rng(1)
    known = [mosaic(seen, 192, random) for _ in range(count)]
    features = np.stack([local_statistics(image) for image, _ in known])
    labels = np.stack([label for _, label in known])
    centres = np.stack([features[labels == number].mean(axis=0) for number in range(len(CLASSES))])
    right = []
    for _ in range(count):
        image, label = mosaic(unseen, 192, random)
        answer = network(torch.from_numpy(image)[None, None])[0].argmax(dim=0).numpy()
        distance = ((local_statistics(image)[..., None, :] - centres) ** 2).sum(axis=-1)
        right.append([np.mean(answer == label), np.mean(distance.argmin(axis=-1) == label)])
    by_network, by_statistics = np.mean(right, axis=0)
    return float(by_network), float(by_statistics)


if __name__ == "__main__":
    pictures = [getattr(data, name)().astype(np.float32) for name in CLASSES]
    left = [picture[:, :256] for picture in pictures]
    right = [picture[:, 256:] for picture in pictures]
    network = train(left)
    accuracy, baseline = evaluate(network, left, right)
    print(f"right on unseen halves: network {accuracy:.1%} of the pixels, local statistics {baseline:.1%}")
    torch.save(
        {
            name: value.half() if value.is_floating_point() else value
            for name, value in network.state_dict().items()
        },
        FOLDER / "weights.pt",
    )
