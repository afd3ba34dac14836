"""Picture: a figure as a run has recorded it."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path

SMALL = (240, 160)  # px, twice what a table shows, for sharp screens


@dataclass(frozen=True)
class Picture:
    """A recorded figure: notebooks show it, ``save`` writes it.

    Attributes
    ----------
    png : bytes
        The PNG file.
    width, height : int
        Pixels.
    """

    png: bytes
    width: int
    height: int

    def save(self, path: str | Path) -> Path:
        """Write it as a PNG file, and return the path.

        Raises
        ------
        InvalidInputError
            If there is no such folder, or the name ends on another kind of picture.
        """
        from workbench.errors import InvalidInputError

        target = Path(path).expanduser()
        if target.suffix.casefold() != ".png":
            raise InvalidInputError(f"{target.name!r} does not end on .png, and the picture is a PNG.")
        if not target.parent.is_dir():
            raise InvalidInputError(
                f"There is no folder {str(target.parent)!r} for {target.name}. Make it first."
            )
        target.write_bytes(self.png)
        return target

    def __str__(self) -> str:
        return f"figure {self.width} x {self.height}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def _repr_png_(self) -> bytes:
        return self.png


def thumbnail_html(png: bytes, text: str) -> str:
    """Return a picture small enough for a thousand of them on one page, as HTML of a table's cell."""
    kind, data = small(png)
    words = html.escape(text)
    return f'<img alt="{words}" title="{words}" style="max-height:56px;max-width:110px" src="data:image/{kind};base64,{data}">'


def small(png: bytes) -> tuple[str, str]:
    """Return a small copy of a picture: its kind and base64."""
    from PIL import Image, features

    with Image.open(io.BytesIO(png)) as image:
        image.thumbnail(SMALL)
        kind = "webp" if features.check("webp") else "png"
        out = io.BytesIO()
        image.convert("RGBA" if image.mode in {"RGBA", "LA", "P"} else "RGB").save(out, kind.upper())
    return kind, base64.b64encode(out.getvalue()).decode()
