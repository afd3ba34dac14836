"""TorchStep: a torch module as a step, kept as safetensors or TorchScript."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from workbench.errors import InvalidDataError, InvalidInputError, MissingPackageError
from workbench.steps.ml import MLStep
from workbench.versions import VersionedField


class TorchStep(MLStep):
    """A torch module. Implement ``make_model``; for another training than plain Adam override ``fit``.

    The format ``safetensors`` keeps the weights alone, and ``make_model`` the architecture; ``torchscript`` keeps both.
    All fields but the format count in the version, as major.

    Examples
    --------
    >>> class Net(TorchStep):  # doctest: +SKIP
    ...     epochs = 50
    ...
    ...     def make_model(self):
    ...         return torch.nn.Linear(3, 1)
    >>> Net("fit")(x, y)  # doctest: +SKIP
    """

    format: ClassVar[str] = "safetensors"
    #: a function of ``torch.nn.functional``
    loss: Any = VersionedField("mse_loss", "major")
    epochs: Any = VersionedField(10, "major")
    learning_rate: Any = VersionedField(1e-3, "major")
    batch_size: Any = VersionedField(32, "major")
    seed: Any = VersionedField(0, "major")

    def make_model(self) -> Any:
        """Return an untrained ``torch.nn.Module``."""
        raise InvalidInputError(
            f"Step {self.name!r} makes no model. Write make_model(self) in its class: return torch.nn.Linear(3, 1)."
        )

    def fit(self, *args: Any, **parameters: Any) -> None:
        """Train a new model with inputs and targets: arrays or tensors of equal length."""
        torch = _torch()
        if len(args) != 2:
            raise InvalidInputError(
                f"Step {self.name!r} is trained with inputs and targets, got {len(args)} inputs."
            )
        x, y = (torch.as_tensor(arg) for arg in args)
        if len(x) != len(y) or not len(x):
            raise InvalidInputError(
                f"Step {self.name!r} got {len(x)} inputs and {len(y)} targets: one target for each input, and at least one."
            )
        loss = getattr(torch.nn.functional, self.loss)
        with torch.random.fork_rng(devices=[]):  # the weights and the order are those of the seed
            torch.manual_seed(self.seed)
            model = self.make_model()
            model.train()
            optimizer = torch.optim.Adam(model.parameters(), lr=self.learning_rate)
            for _ in range(self.epochs):
                for some in torch.randperm(len(x)).split(self.batch_size):
                    optimizer.zero_grad()
                    loss(model(x[some]), y[some]).backward()
                    optimizer.step()
        self.model = model.eval()

    def predict(self, *args: Any, **parameters: Any) -> Any:
        """Return the model's output, a tensor without gradients."""
        torch = _torch()
        with torch.no_grad():
            return self.model(*(torch.as_tensor(arg) for arg in args), **parameters)

    def dump_model(self) -> bytes:
        """Return the model in the step's format."""
        if self.format == "torchscript":
            torch, out = _torch(), io.BytesIO()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                torch.jit.save(torch.jit.script(self.model), out)
            return out.getvalue()
        # tied weights are written once for each name
        state = {name: value.contiguous().clone() for name, value in self.model.state_dict().items()}
        data: bytes = _safetensors().save(state)
        return data

    def load_model(self, data: bytes, trusted: Sequence[str] = ()) -> Any:
        """Return the model that bytes of the step's format hold."""
        try:
            if self.format == "torchscript":
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    return _torch().jit.load(io.BytesIO(data)).eval()
            state = _safetensors().load(data)
        except Exception as error:
            raise InvalidDataError(
                f"The bytes of step {self.name!r} cannot be read as {self.format}: {error}. Train it again."
            ) from error
        model = self.make_model()
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise InvalidDataError(
                f"The weights of step {self.name!r} are of another architecture than make_model() makes: {error}"
            ) from error
        return model.eval()


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingPackageError(
            "A torch step needs torch, which is not installed. Run: pip install 'jupyter-workbench[torch]'",
            package="torch",
        ) from None
    return torch


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError:
        raise MissingPackageError(
            "Keeping weights needs safetensors, which is not installed. Run: pip install 'jupyter-workbench[ml]'",
            package="safetensors",
        ) from None
    return safetensors.torch
