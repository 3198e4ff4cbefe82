"""The live demo's results as HTML: verdict, maps on one colour scale, and error rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from vssl.demo.studio import Shown
from vssl.images import Pixels, decode_image, read_bytes
from vssl.localize.verdict import in_percent
from vssl.reporting.figures.overlay import layer
from vssl.reporting.page.media import encoded_image

_MEND = (
    "Everything else is as before. Give another file, or write this one anew: a picture as JPEG or"
    " PNG, a sound as WAV, a video as MP4."
)


def result_html(shown: Shown, note: str = "") -> str:
    """Write verdict and warnings, draw picture and maps, and write how often that is wrong."""
    verdict, scale = shown.verdict, shown.looked.bounds
    sources = shown.setup.sources.rpartition("; ")[0]  # the last is the range of a figure
    texts = [*verdict.errors, sources]
    colours, _ = layer(np.linspace(0, 1, 9))
    stops = ", ".join("rgb({:.0f} {:.0f} {:.0f})".format(*(255 * colour)) for colour in colours)
    return "".join((
        '<section aria-live="polite">',
        _paragraph("verdict" if verdict.localized is None else f"verdict {verdict.localized}",
                   _upper(verdict.words)),
        *(_paragraph("warning", _upper(each)) for each in verdict.warnings),
        _paragraph("note", note),
        '</section><div class="maps">',
        _figure("", shown.looked.picture, "the picture"),
        *_map_figures(shown),
        f'</div><div class="scale"><span>{scale[0]:z.2f}</span><div class="bar" style="background:'
        f'linear-gradient(to right, {stops})">{_tick(shown)}</div><span>{scale[1]:.2f}</span>'
        "<small>one colour scale for all maps, and an outline at the threshold</small></div>",
        f'<ul>{"".join(f"<li>{escape(each)}</li>" for each in texts)}</ul>',
    ))  # fmt: skip


def error_html(error: BaseException, files: Iterable[Path]) -> str:
    """Write an error as an alert that names files without their folders."""
    text = str(error)
    for path in files:
        text = text.replace(f"{path.parent}/", "")
    mend = _paragraph("note", _MEND) if text != str(error) else ""
    return f'<section role="alert"><p class="verdict error">{escape(text)}</p>{mend}</section>'


def busy_html(text: str) -> str:
    """Write what is being waited for."""
    return f'<section aria-live="polite">{_paragraph("note", text)}</section>'


def thumbnails_css(pictures: Sequence[Path]) -> str:
    """Put pictures on the choices of the radio group `scenes`."""
    rules = []
    for number, path in enumerate(pictures, start=1):
        image = Image.fromarray(decode_image(read_bytes(path), path))
        image.thumbnail((120, 120))
        address = _embedded(np.asarray(image))
        rules.append(f"#scenes label:nth-of-type({number}) {{background-image: url({address})}}")
    return "\n".join(rules)


def _map_figures(shown: Shown) -> Iterable[str]:
    """Each map with its words, and its largest value on a gauge beside the threshold."""
    for place, card in enumerate(shown.cards):
        words, state, more = "no threshold", "", f"largest value {card.numbers.largest:z.2f}"
        if card.numbers.marked is not None:
            share = in_percent(card.numbers.marked)
            words, state = ("stays silent", "silent")
            if card.numbers.points:
                words, state = f"marks {share}", "marks"
                more += "" if card.overlap is None else f", overlap {card.overlap:.2f}"
        width = _percent(card.numbers.largest, shown)
        caption = (
            f'<em>{words}</em><div class="meter"><i style="width:{width}"></i>{_tick(shown)}</div>'
            f"<small>{more}</small>"
        )
        alt = f"map under {card.name}: {words}, {more}"
        yield _figure(f"{state}{' given' * (not place)}", card.pixels, card.name, caption, alt)


def _figure(kind: str, pixels: Pixels, name: str, caption: str = "", alt: str = "") -> str:
    return (
        f'<figure class="{kind}"><img src="{_embedded(pixels)}" alt="{escape(alt or name)}">'
        f"<figcaption><b>{escape(name)}</b>{caption}</figcaption></figure>"
    )


def _tick(shown: Shown) -> str:
    threshold = shown.setup.threshold
    return f'<s style="left:{_percent(threshold.value, shown)}"></s>' if threshold else ""


def _percent(value: float, shown: Shown) -> str:
    low, high = shown.looked.bounds
    return f"{100 * np.nan_to_num(np.clip((value - low) / (high - low), 0, 1)):.1f}%"


def _paragraph(kind: str, text: str) -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""


def _embedded(pixels: Pixels) -> str:
    return encoded_image(Image.fromarray(pixels), "jpeg", quality=88)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
