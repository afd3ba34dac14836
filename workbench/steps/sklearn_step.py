"""SklearnStep: an estimator of scikit-learn as a step, kept in the skops format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from workbench.errors import InvalidDataError, InvalidInputError, MissingPackageError, UnsupportedError
from workbench.steps.ml import MLStep
from workbench.versions import VersionedDict, VersionedField


class SklearnStep(MLStep):
    """An estimator of scikit-learn. Give its class and parameters; both count in the version, as major.

    ``fit`` gets all inputs (``X``, or ``X, y``), ``predict`` the first.

    Examples
    --------
    >>> class Reduce(SklearnStep):  # doctest: +SKIP
    ...     model_class = PCA
    ...     model_parameters = {"n_components": 2, "random_state": 0}
    >>> Reduce("fit_predict")(X).shape  # doctest: +SKIP
    (100, 2)
    """

    format: ClassVar[str] = "skops"
    model_class: Any = VersionedField(None, "major")
    model_parameters: Any = VersionedDict({}, "major")
    #: given to ``fit`` beside the inputs
    fit_extra_parameters: Any = VersionedDict({}, "major")
    #: the method that predicts; default: ``predict``, and ``transform`` of what has none
    predict_function: str = ""

    def fit(self, *args: Any, **parameters: Any) -> None:
        """Train a new estimator with all inputs."""
        if self.model_class is None:
            raise InvalidInputError(
                f"Step {self.name!r} has no estimator. Write: model_class = PCA, in its class."
            )
        if not isinstance(self.model_class, type):
            raise InvalidInputError(
                f"Step {self.name!r}: model_class is {self.model_class!r}, expected the class itself, such as PCA."
            )
        model = self.model_class(**self.model_parameters)
        model.fit(*args, **{**self.fit_extra_parameters, **parameters})
        self.model = model

    def predict(self, *args: Any, **parameters: Any) -> Any:
        """Return what the estimator says of the inputs."""
        name = self.predict_function or ("predict" if hasattr(self.model, "predict") else "transform")
        method = getattr(self.model, name, None)
        if method is None:
            raise InvalidInputError(
                f"Step {self.name!r}: {type(self.model).__name__} has no method {name!r}. Set predict_function to one it has."
            )
        return method(*args, **parameters)

    def dump_model(self) -> bytes:
        """Return the estimator in the skops format."""
        data: bytes = _skops().dumps(self.model)
        return data

    def load_model(self, data: bytes, trusted: Sequence[str] = ()) -> Any:
        """Return the estimator that skops bytes hold, if all of its types are known or trusted."""
        io = _skops()
        try:
            unknown = sorted(set(io.get_untrusted_types(data=data)) - set(trusted))
            if unknown:
                raise UnsupportedError(
                    f"The bytes of step {self.name!r} hold types that may run code: {', '.join(unknown)}. If you trust them, "
                    f"load with trusted={unknown!r}."
                )
            return io.loads(data, trusted=list(trusted))
        except UnsupportedError:
            raise
        except Exception as error:  # skops raises whatever a wrong file makes it trip over
            raise InvalidDataError(
                f"The bytes of step {self.name!r} cannot be read as skops: {type(error).__name__}: {error}. "
                "Was another version of scikit-learn at work? Train it again."
            ) from error


def _skops() -> Any:
    try:
        import skops.io
    except ImportError:
        raise MissingPackageError(
            "Keeping an estimator of scikit-learn needs skops, which is not installed. "
            "Run: pip install 'jupyter-workbench[ml]'",
            package="skops",
        ) from None
    return skops.io
