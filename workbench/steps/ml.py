"""MLStep: a step that is trained."""

from __future__ import annotations

import pickle
import time
from abc import abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar

from workbench.errors import InvalidInputError, NotFoundError, did_you_mean
from workbench.steps.packing import Meta, check_format, pack, unpack
from workbench.steps.step import LoadableStep, StepCallback
from workbench.versions import Version, VersionKind


class Mode(StrEnum):
    """What executing a trained step means."""

    FIT = "fit"
    PREDICT = "predict"
    FIT_PREDICT = "fit_predict"


class MLStep(LoadableStep):
    """A step around a model. In a pipeline that trains it, it fits; in one that uses it, under the same name, it predicts.

    Training makes a new version: its time goes to one of the three digests.

    Parameters
    ----------
    mode : {"fit", "predict", "fit_predict"}
        ``fit`` returns nothing; ``fit_predict`` fits with all inputs and predicts from the first.
    name, callbacks
        As for `Step`.
    """

    #: which digest the time of training goes to; "major" makes all that reads from it be trained again too
    training_update_version: ClassVar[VersionKind | str] = VersionKind.PATCH
    #: how the model is written
    format: ClassVar[str] = ""
    mode: Mode = Mode.FIT_PREDICT
    model: Any = None
    train_time: float | None = None
    #: the run that trained it, and the version that is saved, ``name@1.2.0``; empty where that is not known
    trained_by: str = ""
    kept_as: str = ""

    def __init__(
        self,
        mode: Mode | str = Mode.FIT_PREDICT,
        name: str | None = None,
        callbacks: Sequence[StepCallback] = (),
    ) -> None:
        super().__init__(name, callbacks)
        modes = [member.value for member in Mode]
        if mode not in modes:
            raise InvalidInputError(
                f"mode of {self.name!r} is {mode!r}, expected one of {', '.join(modes)}.{did_you_mean(str(mode), modes)}"
            )
        self.mode = Mode(mode)

    @property
    def version(self) -> Version:
        """The version of its class, and once it is trained, of that training."""
        version = super().version
        if self.train_time is None:
            return version
        return version.trained(self.train_time, self.training_update_version)

    @property
    def is_trained(self) -> bool:
        """Tell whether it can predict."""
        return self.model is not None

    @property
    def has_state(self) -> bool:
        """Tell whether it was trained or loaded."""
        return self.is_trained

    @property
    def needs_state(self) -> bool:
        """Tell whether it can only predict."""
        return self.mode is Mode.PREDICT

    def version_with(self, kept: Version) -> Version:
        """Return the version that it would have with the model of a version that is kept."""
        return super().version.trained(kept.created, self.training_update_version)

    @property
    def allow_version_change(self) -> bool:
        """Tell whether executing it may make another version of it."""
        return self.mode is not Mode.PREDICT

    @abstractmethod
    def fit(self, *args: Any, **parameters: Any) -> None:
        """Train ``self.model``, made anew."""

    @abstractmethod
    def predict(self, *args: Any, **parameters: Any) -> Any:
        """Return what the model says of the first argument."""

    @abstractmethod
    def dump_model(self) -> bytes:
        """Return the model in the step's format."""

    @abstractmethod
    def load_model(self, data: bytes, trusted: Sequence[str] = ()) -> Any:
        """Return the model that bytes of the step's format hold."""

    def execute(self, *args: Any, **parameters: Any) -> Any:
        """Fit, predict, or both, by the mode.

        Raises
        ------
        NotFoundError
            If it is to predict and was never trained or loaded.
        """
        if self.mode is Mode.PREDICT:
            self._check_trained("predict")
            return self.predict(*args, **parameters)
        self.fit(*args, **parameters)
        self.train_time = time.time()
        self.trained_by = self.kept_as = ""
        return self.predict(*args[:1]) if self.mode is Mode.FIT_PREDICT else None

    def serialize(self) -> bytes:
        """Return the trained model with the time of training.

        Raises
        ------
        NotFoundError
            If it was never trained.
        """
        self._check_trained("be saved")
        data = pickle.dumps(self.model) if self.format == "pickle" else self.dump_model()
        return pack(data, Meta(self.format, self.train_time))

    def load(self, data: bytes, *, trusted: Sequence[str] = (), allow_pickle: bool = False) -> None:
        """Take the model and its time of training from bytes; an error leaves the step as it was.

        Parameters
        ----------
        data : bytes
            What `serialize` returned.
        trusted : sequence of str
            Names of types that a skops file may hold beside those of scikit-learn, numpy and scipy.
        allow_pickle : bool
            Read a pickle, which runs the code that is in it.

        Raises
        ------
        UnsupportedError
            For a pickle that was not allowed, or a type that is not trusted.
        DamagedError, InvalidDataError
            For bytes that are damaged, or of something else.
        """
        what = f"step {self.name!r}"
        model, meta = unpack(data, what)
        check_format(meta.format, self.format, what, allow_pickle)
        self.model = pickle.loads(model) if meta.format == "pickle" else self.load_model(model, trusted)
        self.train_time = meta.train_time
        self.trained_by = self.kept_as = ""

    def _check_trained(self, to_do: str) -> None:
        if not self.is_trained:
            raise NotFoundError(
                f"Step {self.name!r} is to {to_do}, and has no trained model. Load one (pipe.load()), or train it with "
                'mode="fit".'
            )
