"""Segment images by texture with a trained network; its weights are the asset weights.pt."""

import numpy as np
import torch
from network import CLASSES, Network
from torch.nn.functional import interpolate

from workbench.runners import Image2SegmentationRunner


class Runner(Image2SegmentationRunner):
    """Gives each pixel the number of its texture: 1 brick, 2 grass, 3 gravel; 0 where that is not certain enough."""

    def load_assets(self):
        """Load the weights once; all later runs share them."""
        self.network = Network()
        weights = torch.load(self.fetch_asset("weights.pt"), map_location="cpu", weights_only=True)
        self.network.load_state_dict(weights)
        self.network.to(self.device).eval()

    def inference(self, data, args):
        """Segment a stack.

        Parameters
        ----------
        data : ndarray, shape (n, H, W) or (n, 3, H, W), counts
            Of colour images the mean of the channels is used; brightness and contrast do not matter.

        Returns
        -------
        ndarray, shape (n, H, W), uint8
        """
        images = data.mean(axis=1) if data.ndim == 4 else data
        masks = np.empty(images.shape, np.uint8)
        for k, image in enumerate(images):
            self.set_progress(k / len(images), f"image {k + 1} of {len(images)}")
            masks[k] = self.segment(image.astype(np.float32), args)
            shares = np.bincount(masks[k].ravel(), minlength=len(CLASSES) + 1) / masks[k].size
            text = ", ".join(
                f"{name} {share:.0%}" for name, share in zip(("unknown", *CLASSES), shares, strict=True)
            )
            self.log_message(f"image {k + 1} of {len(images)}: {text}")
        return masks

    @torch.inference_mode()
    def segment(self, image, args):
        """Label one image of shape (H, W)."""
        image = (image - image.mean()) / max(float(image.std()), 1e-12)
        batch = torch.from_numpy(image)[None, None].to(self.device)
        if args["scale"] != 1:
            batch = interpolate(batch, scale_factor=args["scale"], mode="bilinear", antialias=True)
        scores = interpolate(self.network(batch), size=image.shape, mode="bilinear")
        probability, label = scores.softmax(dim=1).max(dim=1)
        return torch.where(probability >= args["certainty"], label + 1, 0)[0].cpu().numpy().astype(np.uint8)
