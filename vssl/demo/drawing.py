"""The live demo's results as HTML: verdict, maps on one colour scale, and error rates."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from vssl.analysis.error_rates import Share
from vssl.demo.inputs import Scene
from vssl.demo.studio import Card, Shown
from vssl.images import Pixels, decode_image, read_bytes
from vssl.localize.verdict import UNKNOWN, in_percent
from vssl.reporting.figures.overlay import layer

_STOPS = 9  # of the colour scale's gradient
_THUMBNAIL = 120  # pixels
_MEND = (
    "<p>Everything else is as before. Give another file, or write this one anew: a picture as JPEG"
    " or PNG, a sound as WAV, a video as MP4.</p>"
)


def verdict_html(shown: Shown, note: str = "") -> str:
    """Write the verdict as a sentence, with its warnings."""
    verdict = shown.verdict
    kind = {True: "yes", False: "no", None: "none"}[verdict.localized]
    lines = [f'<p class="verdict {kind}">{escape(_upper(verdict.words))}</p>']
    lines += [f'<p class="warning">{escape(_upper(each))}</p>' for each in verdict.warnings]
    lines += [f'<p class="note">{escape(note)}</p>'] if note else []
    return f'<section aria-live="polite">{"".join(lines)}</section>'


def error_html(error: BaseException, files: Sequence[Path]) -> str:
    """Write an error as an alert that names files without their folders."""
    text = str(error)
    for path in files:
        text = text.replace(f"{path.parent}/", "")
    mend = _MEND if text != str(error) else ""
    return f'<section role="alert"><p class="verdict error">{escape(text)}</p>{mend}</section>'


def busy_html(text: str) -> str:
    """Write what is being waited for."""
    return f'<section aria-live="polite"><p class="note">{escape(text)}</p></section>'


def maps_html(shown: Shown) -> str:
    """Draw the picture and its maps side by side, and their common colour scale."""
    picture = (255 * shown.looked.picture).astype(np.uint8)
    figures = [f'<figure><img src="{_embedded(picture)}" alt="the picture"><figcaption>'
               "<b>the picture</b></figcaption></figure>"]  # fmt: skip
    for place, card in enumerate(shown.cards):
        figures.append(_figure(card, shown, given=not place))
    low, high = shown.looked.bounds
    colours, _ = layer(np.linspace(0, 1, _STOPS))
    stops = ", ".join("rgb({:.0f} {:.0f} {:.0f})".format(*(255 * colour)) for colour in colours)
    scale = (
        f'<div class="scale"><span>{low:z.2f}</span><div class="bar" style="background:'
        f'linear-gradient(to right, {stops})">{_tick(shown)}</div><span>{high:.2f}</span>'
        "<small>one colour scale for all maps; the outline is at the threshold</small></div>"
    )
    return f'<div class="maps">{"".join(figures)}</div>{scale}'


def _figure(card: Card, shown: Shown, *, given: bool) -> str:
    numbers = card.numbers
    words, state = "no threshold", ""
    if numbers.marked is not None:
        state = "marks" if numbers.points else "silent"
        words = f"marks {in_percent(numbers.marked)}" if numbers.points else "stays silent"
    details = f"largest value {numbers.largest:z.2f}"
    if card.overlap is not None and numbers.points:
        details += f", overlap {card.overlap:z.2f}"
    meter = (
        f'<div class="meter"><i style="width:{100 * _share(numbers.largest, shown):.1f}%"></i>'
        f"{_tick(shown)}</div>"
    )
    alt = f"map under {card.name}: {words}, {details}"
    return (
        f'<figure class="{state}{" given" * given}"><img src="{_embedded(card.pixels)}"'
        f' alt="{escape(alt)}"><figcaption><b>{escape(card.name)}</b><em>{words}</em>{meter}'
        f"<small>{details}</small></figcaption></figure>"
    )


def _share(value: float, shown: Shown) -> float:
    low, high = shown.looked.bounds
    return float(np.nan_to_num(np.clip((value - low) / (high - low), 0, 1)))


def _tick(shown: Shown) -> str:
    threshold = shown.setup.threshold
    if threshold is None:
        return ""
    return f'<s style="left:{100 * _share(threshold.value, shown):.1f}%"></s>'


def rates_html(shown: Shown) -> str:
    """Write how often a verdict at this threshold is wrong, with intervals, and on which data."""
    rates, lines = shown.setup.rates, shown.verdict.errors
    if rates is None:
        text = f"{_upper(UNKNOWN)}." if shown.setup.threshold else ""
        return f'<section><p class="note">{escape(text)}</p>{_details(shown, [])}</section>'
    rows = [
        _row(f"{name}: marked", share, shown.verdict.by_chance.get(name, {}).get("p"))
        for name, share in rates.false_alarms.items()
    ]
    if rates.misses is not None:
        rows.append(_row("own sound: missed", rates.misses))
    head = "".join(
        f"<th scope=col>{each}</th>" for each in ("", "how often", "95 % interval", "N", "p")
    )
    return (
        f"<section><p>How often this threshold is wrong on <b>{escape(rates.dataset)}</b>, other"
        " pictures than these. N is maps (images); p is how often such a sound reaches as high as"
        " this map.</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f"{_details(shown, lines)}</section>"
    )


def _row(name: str, share: Share, p: float | None = None) -> str:
    rate, low, high = (f"{100 * each:.1f}" for each in (share.rate, share.low, share.high))
    cells = (f"{rate} %", f"{low}–{high}", f"{share.maps} ({share.images})",
             "" if p is None else f"{p:.2g}")  # fmt: skip
    columns = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr><th scope=row>{escape(name)}</th>{columns}</tr>"


def _details(shown: Shown, lines: Sequence[str]) -> str:
    texts = "".join(f"<li>{escape(_upper(each))}</li>" for each in (*lines, shown.setup.sources))
    return (
        f"<details><summary>In words, and where it comes from</summary><ul>{texts}</ul></details>"
    )


def thumbnails_css(scenes: Sequence[Scene]) -> str:
    """Put pictures of a test set on the choices of the radio group `scenes`."""
    rules = []
    for number, scene in enumerate(scenes, start=1):
        path = scene.samples[0].image_path
        image = Image.fromarray(decode_image(read_bytes(path), path))
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        address = _embedded(np.asarray(image))
        rules.append(f"#scenes label:nth-of-type({number}) {{background-image: url({address})}}")
    return "\n".join(rules)


def _embedded(pixels: Pixels) -> str:
    """An image as an address that holds it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
