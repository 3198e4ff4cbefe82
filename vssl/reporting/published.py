"""Comparison of a run's numbers with published figures of the same model and test set.

The figures are in `experiments/reference_values.csv`, installed as `vssl.experiments`, each with
its source and tier: A is an official README or code, B a maintainer's reply. A checkpoint does not
state its training set, so a table shows all published figures of a cell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vssl.core.errors import UsageError
from vssl.core.negatives import NEGATIVE_TYPES
from vssl.records.files import SUMMARY_FILE
from vssl.records.store import read_provenance
from vssl.records.summary import read_summary
from vssl.reporting.tables.model import caption, one_row, percent, text_table
from vssl.reporting.tables.render import write_shown

NO_SOURCE = "missing"
"""Source of a cell without a published figure."""

PUBLISHED_MODELS = {
    "LVS": "lvs",
    "EZ-VSL": "ezvsl",
    "SLAVC": "slavc",
    "FNAC": "fnac",
    "SSL-TIE": "ssltie",
    "SSL-Align": "sslalign",
    "RCGrad": "rcgrad",
    "SSL-SaN": "sslsan",
    "SACL": "sacl",
    "ACL": "acl",
    "DenseAV": "denseav",
    "CLIPTran": "cliptran",
}
"""Published name -> ours."""

VGGSS_4692 = "VGG-SS (4692 of 5158 available)"

TEST_SETS = {"VGG-SS": "vggss", VGGSS_4692: "vggss", "IS3": "is3", "Flickr-SoundNet": "flickr"}
"""Published name -> ours. The Extended and the Heard / Unheard sets are other sets."""

IMAGES = {("SACL", VGGSS_4692): 4692, ("SACL", "Flickr-SoundNet"): 249}
"""Number of images behind a figure, where its authors left some of the test set out."""


class Definition(NamedTuple):
    """A published metric in our terms."""

    metric: str
    condition: str
    policy: str


_UNIVERSAL_POLICY = "universal_q3"
_SUFFIX = " (universal threshold)"

DEFINITIONS = {
    "cIoU@0.5": Definition("success_rate", "positive", "half_image"),
    "AUC": Definition("auc", "positive", "half_image"),
    "LocAcc": Definition("success_rate", "positive", "half_image"),
    "AP": Definition("detection_ap", "offscreen", "half_image"),
    "max-F1": Definition("max_f1", "offscreen", "half_image"),
    f"cIoU{_SUFFIX}": Definition("ciou", "positive", _UNIVERSAL_POLICY),
    f"AUC{_SUFFIX}": Definition("auc", "positive", _UNIVERSAL_POLICY),
    **{
        f"{published} {condition}{_SUFFIX}": Definition(metric, condition, _UNIVERSAL_POLICY)
        for published, metric in (("pIA", "pia"), ("AUC_N", "auc_n"))
        for condition in NEGATIVE_TYPES
    },
    "F_LOC": Definition("f_loc", "all", _UNIVERSAL_POLICY),
    "F_AUC": Definition("f_auc", "all", _UNIVERSAL_POLICY),
}
"""Published metric -> ours.

The READMEs of LVS, EZ-VSL, SLAVC, FNAC, SSL-TIE and SSL-Align score positives with half of the
image marked; `OWN_RULES` has the others. The paper's tables need a universal threshold; the third
quartile is our reading of the released code.
"""

OWN_RULES = {"SACL": "half_range", "CLIPTran": "half_range", "ACL": "best_of_19"}
"""Published model -> policy of its authors' cIoU@0.5 and AUC, in place of `half_image`."""

ALWAYS = ("cIoU@0.5", "AUC")
"""Metrics in every table, as `missing` without a published figure."""

REPRODUCTION_MARGIN = 0.003
"""Largest difference of a faithful reproduction, a fraction: 15 of VGG-SS's 5158 images.

A judgement, not a measurement: other decoders, resamplers and versions of libraries carry a few
images over a threshold.
"""

# others do not state theirs, and may be both
_VARIANTS: dict[str, tuple[str, ...]] = {"AV": ("av",), "AV+OGL": ("ogl",)}
_FACTS = ["model", "dataset", "protocol", "coverage", "manifest_hash"]
_COMPARED = (
    *("metric", "condition", "map_variant", "threshold_policy", "n", "published_metric"),
    *("published_variant", "training_set", "test_set", "source", "tier", "note"),
    *("published", "value", "difference", "margin", "within"),
)
_WORDS = ("condition", "threshold", "maps", "published as", "training set", "source", "within")
_LEGEND = (
    "Published figures are of the authors' checkpoints on these training sets; which of them the"
    " run's checkpoint is, its file does not say. Difference: ours minus the published, in points."
    " Margin: what a reproduction on the same images may differ by, 0.3 points for other decoders"
    " and libraries and half of the last digit printed; within: whether it does. Both numbers are"
    " of the same images, so an interval over images says nothing here; where not all listed"
    " samples were evaluated, or a figure is of other images, nothing is judged. Tier A: an"
    " official README or code; B: a maintainer's reply. missing: no citable figure at hand. n/a:"
    " not in the run's summary; vssl-rescore adds thresholds and metrics."
)


def read_published(path: Path | None = None) -> pd.DataFrame:
    """Read published figures from a csv file, or from the installed one.

    Returns:
        A row for each figure and each `map_variant` that it may be of: `published_metric,
        published_variant, model, training_set, test_set, source, tier, note` as published, the
        fraction `published`, NaN if source is `missing`, and `margin`, half of its last digit.
    """
    if path is None:
        path = Path(str(files("vssl.experiments") / "reference_values.csv"))
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table = table.rename(columns={n: f"published_{n}" for n in ("metric", "variant")})
    unit = np.where(table["unit"] == "%", 100, 1)
    decimals = table["value"].str.partition(".")[2].str.len()
    half_digit = (0.5 * 10.0**-decimals).where(table["value"] != "", 0.0)
    variants = table["published_variant"].str.partition(",")[0].str.strip()  # "AV+OGL, rerun"
    return (
        table.assign(
            map_variant=variants.map(lambda name: _VARIANTS.get(name, ("av", "ogl"))),
            published=pd.to_numeric(table["value"].replace("", None)) / unit,
            margin=half_digit / unit,
        )
        .explode("map_variant")
        .drop(columns=["value", "unit"])
    )


def beside_published(summary: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Set one run's numbers beside the figures (`read_published`) of its model and test set.

    Returns:
        A row for each figure and map variant of the run: facts of the run, the place of its number,
        the figure and its source. Fractions `published, value, difference` (ours minus the
        published) and `margin`, the largest difference of a reproduction; `within`, whether the
        difference is smaller, None if either number is missing or not all listed samples were
        evaluated. Empty for a model or test set without published figures.

    Raises:
        ValueError: when the summary has several numbers for a cell.
    """
    first = summary.iloc[0]
    names = [name for name, own in PUBLISHED_MODELS.items() if own == first["model"]]
    sets = [name for name, own in TEST_SETS.items() if own == first["dataset"]]
    if not names or not sets:
        return pd.DataFrame(columns=[*_FACTS, *_COMPARED])
    known = published[published["model"].isin(names) & published["test_set"].isin(sets)]
    figures = known.drop(columns=["model"])
    rule = OWN_RULES.get(names[0], "half_image")
    places = pd.DataFrame(
        [
            (name, variant, *definition[:2], rule if name in ALWAYS else definition.policy)
            for name, definition in DEFINITIONS.items()
            for variant in pd.unique(summary["map_variant"])
        ],
        columns=["published_metric", "map_variant", "metric", "condition", "threshold_policy"],
    )
    rows = places.merge(figures, how="left", on=["published_metric", "map_variant"])
    rows = rows[rows["source"].notna() | rows["published_metric"].isin(ALWAYS)]
    texts = dict.fromkeys(("published_variant", "training_set", "tier", "note"), "")
    texts |= {"test_set": sets[0], "source": NO_SOURCE}
    rows = rows.fillna({**texts, "margin": 0.0})
    place = ["metric", "condition", "threshold_policy", "map_variant"]
    values = summary.merge(rows[place].drop_duplicates())[[*place, "n", "value"]]
    for _, cell in values.groupby(place):
        one_row(cell)  # refuses several
    rows = rows.merge(values, how="left", on=place).fillna({"n": 0}).astype({"n": int})
    rows["difference"] = rows["value"] - rows["published"]
    rows["margin"] += REPRODUCTION_MARGIN
    evaluated = int(summary["n"].max())
    images = rows["test_set"].map(lambda test_set: IMAGES.get((names[0], test_set), evaluated))
    judged = rows["difference"].notna() & (first["coverage"] == 1) & (images == evaluated)
    within = rows["difference"].abs() <= rows["margin"] + 1e-9  # last digits of binary fractions
    rows["within"] = within.astype(object).where(judged, None)
    return rows.assign(**first[_FACTS])[[*_FACTS, *_COMPARED]]


def report_published(folders: Sequence[Path], output: Path | None = None) -> None:
    """Print runs beside published figures, one table each.

    With `output` also writes `published.md` there, and as `published.csv` and `.parquet` the rows
    of `beside_published` of all runs (fractions), with the `run` in front.

    Raises:
        UsageError: when a summary cannot be read, or a run's model or test set has no figures.
    """
    for folder in folders:
        read_provenance(folder / SUMMARY_FILE)
    summaries = {folder: read_summary(folder / SUMMARY_FILE) for folder in folders}
    published = read_published()
    compared = {folder: beside_published(each, published) for folder, each in summaries.items()}
    names = {f: "{model} on {dataset}".format_map(each.iloc[0]) for f, each in summaries.items()}
    unknown = [f"{folder}: {names[folder]}" for folder, rows in compared.items() if rows.empty]
    if unknown:
        raise UsageError(
            f"no published figures for {'; '.join(unknown)}. There are some for the models"
            f" {', '.join(PUBLISHED_MODELS.values())} on"
            f" {', '.join(dict.fromkeys(TEST_SETS.values()))}."
        )
    tables = []
    for folder, rows in compared.items():
        title = f"{names[folder]} beside published figures ({folder})"
        below, details = caption(summaries[folder])
        lines = [_shown_row(row) for row in rows.to_dict("records")]
        tables.append(text_table(title, lines, text=_WORDS, caption=below, details=details))
    joined = pd.concat({str(folder): rows for folder, rows in compared.items()}, names=["run"])
    frames = {"published": joined.reset_index("run")}
    write_shown([(tables, _LEGEND)], output, "published", frames)


def _shown_row(row: Mapping[Any, Any]) -> dict[str, str]:
    """Texts of a row of `beside_published`, with the images that are not a whole test set."""
    model = next(name for name, own in PUBLISHED_MODELS.items() if own == row["model"])
    images = IMAGES.get((model, row["test_set"]))
    missing = pd.isna(row["published"])
    return {
        "metric": f"{row['published_metric'].removesuffix(_SUFFIX)} = {row['metric']}",
        "condition": row["condition"],
        "threshold": row["threshold_policy"],
        "maps": row["map_variant"],
        "published as": row["published_variant"] + (f", {images} images" if images else ""),
        "training set": row["training_set"],
        "published": NO_SOURCE if missing else f"{100 * row['published']:.2f}",
        "source": short_source(row["source"], row["tier"]),
        "ours": percent(row["value"]),
        "difference": "" if pd.isna(row["difference"]) else f"{100 * row['difference']:+.2f}",
        "margin": "" if missing else f"{100 * row['margin']:.3g}",
        "within": {True: "yes", False: "no"}.get(row["within"], ""),
    }


def short_source(source: str, tier: str) -> str:
    """Shorten a source to its repository and file, with its tier; empty without a source.

    >>> short_source("https://github.com/stoneMo/EZ-VSL README.md (commit 95ff5bf)", "A")
    'stoneMo/EZ-VSL README.md (A)'
    """
    if source == NO_SOURCE:
        return ""
    place = re.sub(r"^https://github\.com/| \(commit \w+\)$", "", source)
    return f"{place} ({tier})"
