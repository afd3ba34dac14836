"""How wide a text is in a drawing, so that it ends inside of its box, whichever font the reader's browser takes."""

from __future__ import annotations

import unicodedata

#: In parts of the font size, rounded up: DejaVu Sans, the widest of the fonts that front ends use. What is in no line is 1 wide.
_PLAIN = {
    0.3: "'IJijl",
    0.35: " ,./:;\\|ƒ",
    0.4: "()-[]ft",
    0.45: "!r",
    0.5: '"*_`',
    0.55: "?csz",
    0.6: "FLkvxy",
    0.65: "$0123456789EPSTYabdeghnopqu{}ß",
    0.7: "ABCKRVXZ",
    0.75: "NU",
    0.8: "&DGHOQ",
    0.85: "#+<=>^w~→",
    0.9: "M",
}
_BOLD = {
    0.35: " 'ijl",
    0.4: ",./:;IJ\\|",
    0.45: "-fƒ",
    0.5: "!()[]_`rt",
    0.55: '"*',
    0.6: "?csz",
    0.65: "Lx",
    0.7: "$0123456789EFTaekovy",
    0.75: "CPSYZbdghnpqu{}ß",
    0.8: "ABKRVX",
    0.85: "#+<=>DGHNU^~→",
    0.9: "&OQ",
    0.95: "w",
    1.05: "%m",
    1.15: "W",
}
_WIDTHS = [{char: width for width, chars in table.items() for char in chars} for table in (_PLAIN, _BOLD)]
_EMOJI = 1.4


def text_width(text: str, size: float, *, is_bold: bool = False) -> float:
    """Return the most that a text is wide, in px.

    Parameters
    ----------
    text : str
    size : float, px
        Of the font.
    is_bold : bool

    Examples
    --------
    >>> text_width("ill", 10) < text_width("mmm", 10)
    True
    """
    widths = _WIDTHS[is_bold]
    return size * sum(widths.get(char) or _other(char, widths) for char in text)


def fitted(text: str, width: float, size: float, *, is_bold: bool = False) -> str:
    """Return a text as far as it fits, with an ellipsis where it was cut.

    Parameters
    ----------
    text : str
    width : float, px
    size : float, px
        Of the font.
    is_bold : bool

    Examples
    --------
    >>> fitted("background", 60, 12)
    'backg…'
    """
    if text_width(text, size, is_bold=is_bold) <= width:
        return text
    room = width - text_width("…", size, is_bold=is_bold)
    kept = 0
    for char in text:
        room -= text_width(char, size, is_bold=is_bold)
        if room < 0:
            break
        kept += 1
    return f"{text[:kept].rstrip()}…"


def _other(char: str, widths: dict[str, float]) -> float:
    """Return the width of a character that is in no line: of its letter without accents, if it has one."""
    kind = unicodedata.category(char)
    if kind in ("Mn", "Me", "Cf"):  # drawn over the one before
        return 0.0
    letter = unicodedata.normalize("NFKD", char)[:1]
    return widths.get(letter, _EMOJI if kind == "So" else 1.0)
