"""A contact sheet: queries and matches in one picture, to print or send."""

from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path
from unicodedata import normalize

from PIL import Image, ImageDraw, ImageFont

from resight.errors import UserError
from resight.files import whole_file
from resight.gallery.searching import Match
from resight.imaging import Pixels
from resight.names import CONTROLS
from resight.timestamps import show_time

WIDTH, HEIGHT = 96, 192  # space for a picture, in points
GAP, LINE, MARGIN = 12, 14, 20
SCALE = 2  # pixels in a point
LIKELY, OTHER, INK, FAINT, PAPER = "#12924f", "#c4cad3", "#1d2127", "#69717d", "#ffffff"


def write_sheet(
    path: Path,
    queries: Sequence[Pixels],
    found: Sequence[tuple[Match, Pixels]],
    *,
    title: str,
    note: str,
    first: int = 1,
    columns: int = 10,
    zone: tzinfo | None = None,
) -> None:
    """Write a PNG file with the queries and, below them, the matches; likely ones have a label and thick
    frame.

    Args:
        path: file to write, with the suffix ``.png``.
        queries: the pictures that were searched for.
        found: matches, nearest first, with their pictures.
        title, note: lines at the top.
        first: rank of the first match.
        columns: pictures in a row.
        zone: of the times; None: the default zone.

    Raises:
        UserError: the suffix is not ``.png``, or the file cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"A contact sheet is a PNG file, such as sheet.png; got {path.name}.")
    rows = -(-len(found) // columns)
    query_rows = -(-len(queries) // columns)
    cell = HEIGHT + 3 * LINE + GAP
    width = 2 * MARGIN + columns * (WIDTH + GAP) - GAP
    top = MARGIN + 3 * LINE + 4
    middle = top + query_rows * (HEIGHT + GAP) + GAP
    height = middle + rows * cell + MARGIN // 2
    sheet = Image.new("RGB", (width * SCALE, height * SCALE), PAPER)
    draw = ImageDraw.Draw(sheet)
    fonts = {size: _font(size * SCALE) for size in (9, 11, 13)}

    def write(x: float, y: float, text: str, colour: str, size: int = 9, room: int = width) -> None:
        text = normalize("NFC", CONTROLS.sub(" ", text))  # accents are not put on letters by the font
        draw.text((x * SCALE, y * SCALE), _fitting(text, fonts[size], room * SCALE), colour, fonts[size])

    write(MARGIN, MARGIN - 6, title, INK, 13, width - 2 * MARGIN)
    write(MARGIN, MARGIN + LINE, note, FAINT, 11, width - 2 * MARGIN)
    for place, pixels in enumerate(queries):
        x = MARGIN + place % columns * (WIDTH + GAP)
        y = top + place // columns * (HEIGHT + GAP)
        _paste(sheet, draw, pixels, x, y, INK, 2)
    draw.line(
        [(MARGIN * SCALE, (middle - GAP) * SCALE), ((width - MARGIN) * SCALE, (middle - GAP) * SCALE)], OTHER
    )
    for place, (match, pixels) in enumerate(found):
        x = MARGIN + place % columns * (WIDTH + GAP)
        y = middle + place // columns * cell
        _paste(sheet, draw, pixels, x, y, LIKELY if match.likely else OTHER, 4 if match.likely else 1)
        likely = "  likely" if match.likely else ""
        crop = match.crop
        write(x, y + HEIGHT + 3, f"{first + place}. {match.score:.3f}{likely}", INK, 11, WIDTH + GAP)
        write(x, y + HEIGHT + 3 + LINE, camera_caption(crop.camera), FAINT, 9, WIDTH + GAP - 4)
        when = crop.name.rpartition("/")[2]
        when = when if crop.time is None else show_time(crop.time, zone, crop.time_guessed)
        write(x, y + HEIGHT + 3 + 2 * LINE - 1, when, FAINT, 9, WIDTH + GAP - 4)
    with whole_file(path) as temporary:
        sheet.save(temporary, "PNG", optimize=True)


def _paste(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, pixels: Pixels, x: int, y: int, colour: str, edge: int
) -> None:
    """Draw a picture with a frame, as large as its space allows."""
    picture = Image.fromarray(pixels)
    scale = min(WIDTH * SCALE / picture.width, HEIGHT * SCALE / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    left = x * SCALE + (WIDTH * SCALE - size[0]) // 2
    top = y * SCALE + (HEIGHT * SCALE - size[1]) // 2
    sheet.paste(picture, (left, top))
    draw.rectangle(
        (left - edge, top - edge, left + size[0] + edge - 1, top + size[1] + edge - 1), None, colour, edge
    )


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of matplotlib's figures, as Pillow's own has no letters outside of ASCII."""
    import matplotlib  # a quarter of a second

    try:
        return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)
    except OSError:  # some systems package matplotlib without its fonts
        return ImageFont.load_default(size)


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> str:
    """Return the text, with its middle left out if it is too long."""
    if font.getlength(text) <= room:
        return text
    kept = len(text)
    while kept > 2 and font.getlength(_shortened(text, kept)) > room:
        kept -= 1
    return _shortened(text, kept)


def _shortened(text: str, kept: int) -> str:
    return f"{text[: kept // 2]}…{text[-(kept - kept // 2) :]}"


def camera_caption(camera: str | None) -> str:
    """Return a caption for a camera: its name, after the word "camera" if the name is a number."""
    if camera is None:
        return "camera unknown"
    return f"camera {camera}" if camera.isdecimal() else camera
