"""A finished run as an object: its tables as data frames, its maps as arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from vssl.core.arrays import Floats
from vssl.core.checks import check_choice
from vssl.core.errors import UsageError
from vssl.maps import consensus_map
from vssl.records.conditions import NATURAL_NEGATIVES
from vssl.records.files import RECORDS_FILE, SCORES_FILE, SUMMARY_FILE, read_run_file
from vssl.records.localization import AUDIO_VISUAL, MAP_COLUMNS, Localization, native_maps
from vssl.records.schema import NO_POLICY
from vssl.records.store import read_columns, read_provenance
from vssl.records.summary import conditions_of, read_summary
from vssl.records.truth import GroundTruth
from vssl.types import POSITIVE, SoundingObject


class Run:
    """A finished run: the numbers and the maps of one model on one test set.

    `vssl.evaluate` and `vssl.score` return one, and `vssl.load_run` opens the folder of a run that
    the command line made. A file is read when its content is first asked for.

    Args:
        folder: the run's folder.
        keep: an object that has to live as long as the run, such as a temporary folder.

    Attributes:
        folder: the run's folder, with `records.parquet`, `scores.parquet`, `summary.parquet`,
            `ground_truth.parquet`, `negatives_manifest.csv` and `run.json`.
        provenance: what the records say about where they come from: model, weights, test set,
            negatives, protocol, versions.

    Raises:
        UsageError: when the folder does not hold a finished run that this vssl can read.

    Example:
        >>> import vssl
        >>> run = vssl.evaluate("center", threshold="fixed", overrides=["data.scenes=4"])
        >>> run
        Run('center-synthetic-corrected': 8 samples; positive, silence, noise x 10, offscreen x 10)
        >>> run.table.loc["fixed", "pia"].round(2).to_dict()
        {'silence': 0.28, 'noise': 0.28, 'offscreen': 0.28}
        >>> run.maps(run.sample_ids[0])["noise", 9].shape
        (14, 14)
    """

    def __init__(self, folder: str | Path, *, keep: object = None) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.keep = keep
        read_run_file(self.folder)
        self.provenance: dict[str, Any] = read_provenance(self.folder / RECORDS_FILE)

    @property
    def name(self) -> str:
        """Model, test set and protocol, as in `ezvsl-vggss-corrected`."""
        return "-".join(str(self.provenance[part]) for part in ("model", "dataset", "protocol"))

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row for each number: `condition`, `metric`, `threshold_policy`, `map_variant`,
        `value` (a fraction), `ci_low`, `ci_high`, `n`, `n_undefined`, `higher_is_better`, ...
        """  # noqa: D205 - a list of columns is longer than a line
        return read_summary(self.folder / SUMMARY_FILE)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row for each map and threshold policy, with a column for each metric of a sample."""
        table: pd.DataFrame = read_columns(self.folder / SCORES_FILE).to_pandas()
        return table

    @cached_property
    def records(self) -> pd.DataFrame:
        """One row for each sample, audio condition and draw, with its native similarity map."""
        table: pd.DataFrame = read_columns(self.folder / RECORDS_FILE).to_pandas()
        return table

    @cached_property
    def sample_ids(self) -> list[str]:
        """Names of the samples, in the run's order."""
        ids = read_columns(self.folder / RECORDS_FILE, ["sample_id"]).column(0)
        return list(dict.fromkeys(ids.to_pylist()))

    @property
    def table(self) -> pd.DataFrame:
        """The main numbers, fractions: a row for each threshold policy, columns by metric and
        audio condition (`all`: the three negatives of the paper).
        """  # noqa: D205 - as above
        rows = self.summary
        own = rows["map_variant"] == AUDIO_VISUAL
        label = rows["threshold_policy"].where(own, rows["threshold_policy"] + ", object-guided")
        rows = rows.assign(threshold=label)[rows["threshold_policy"] != NO_POLICY]
        negatives = conditions_of(rows).besides_positive(SoundingObject.NONE)
        both = ["all"] if (rows["condition"] == "all").any() else negatives
        shown = [
            (metric, condition)
            for metrics, conditions in (
                (("ciou", "success_rate", "auc"), [POSITIVE]),
                (("pia", "false_alarm_rate"), negatives),
                (("f_loc",), both),
            )
            for metric in metrics
            for condition in conditions
        ]
        values = rows.set_index(["threshold", "metric", "condition"])["value"]
        table = values.unstack(["metric", "condition"], sort=False)
        return table[[place for place in shown if place in table.columns]]

    def maps(self, sample_id: str) -> dict[tuple[str, int], Floats]:
        """Native similarity maps of a sample, before any upsampling.

        Returns:
            `[h, w]` float32 by audio condition and draw, e.g. `("noise", 3)`.

        Raises:
            UsageError: for a sample that the run does not have.
        """
        rows = self._rows(sample_id)
        return dict(zip(_keys(rows), native_maps(rows), strict=True))

    def localization_maps(
        self, sample_id: str, *, variant: str = AUDIO_VISUAL
    ) -> dict[tuple[str, int], Floats]:
        """Localization maps of a sample: upsampled, as metrics and thresholds see them.

        Args:
            sample_id: name of the sample.
            variant: `av`, the model's own map, or `ogl`, mixed with the object prior's.

        Returns:
            `[224, 224]` float32 by audio condition and draw.

        Raises:
            UsageError: for a sample or a variant that the run does not have.
        """
        localization = Localization.of(self.provenance)
        check_choice(variant, localization.variants, name="variant")
        rows = self._rows(sample_id)
        maps = localization.maps(rows, [variant])[variant]
        return dict(zip(_keys(rows), maps.numpy(), strict=True))

    def ground_truth(self, sample_id: str) -> Floats:
        """Ground-truth map of a sample, as metrics see it.

        Returns:
            `[224, 224]` float32 in [0, 1]: the weight of the boxes and masks that cover a pixel;
            zeros for a natural negative.

        Raises:
            UsageError: for a sample that the run does not have.
        """
        if sample_id not in self._truth.ids:
            raise self._unknown(sample_id)
        (found,) = self._truth.objects([sample_id])
        return consensus_map(*found).numpy()

    @cached_property
    def _truth(self) -> GroundTruth:
        return GroundTruth.of(self.folder)

    def _unknown(self, sample_id: str) -> UsageError:
        shown = ", ".join(self.sample_ids[:3])
        return UsageError(f"{self.folder}: has no sample `{sample_id}`, but e.g. {shown}.")

    def _rows(self, sample_id: str) -> pa.RecordBatch:
        """A sample's records, with what maps are made of."""
        columns = [*dict.fromkeys(["draw", *MAP_COLUMNS])]
        chosen = pc.field("sample_id") == str(sample_id)
        table = read_columns(self.folder / RECORDS_FILE, columns, chosen)
        if not len(table):
            raise self._unknown(sample_id)
        return table.combine_chunks().to_batches()[0]

    def __repr__(self) -> str:
        draws = Counter(condition for condition, _ in self.provenance["pairings"])
        sounds = ", ".join(name if n == 1 else f"{name} x {n}" for name, n in draws.items())
        natural = self.provenance.get(NATURAL_NEGATIVES)
        among = f", {natural} of them natural negatives" if natural else ""
        return f"Run({self.name!r}: {self.provenance['evaluated']} samples{among}; {sounds})"

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        text = self.table.to_html(float_format="{:.3f}".format, na_rep="n/a", border=0)
        return f"<p>{self.name}, {self.provenance['evaluated']} samples</p>{text}"


def _keys(rows: pa.RecordBatch) -> Iterable[tuple[str, int]]:
    conditions, draws = (rows.column(name).to_pylist() for name in ("audio_condition", "draw"))
    return zip(conditions, draws, strict=True)
