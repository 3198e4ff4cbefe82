"""What wandb keeps of a run, read back from its own files; and that it can harm no run."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from google.protobuf import text_format
from omegaconf import OmegaConf
from PIL import Image

from tests.helpers.running import command, composed, records, run_settings
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.engine.loggers import open_loggers
from vssl.engine.wandb_run import WandbRun
from vssl.records.aggregate import summary_key
from vssl.reporting.dashboard import build_dashboard, logged_numbers
from vssl.runs.wandb_extras import mirror_run

SMALL = (
    "model=audio_blind", "data=synthetic", "data.scenes=6", "loader.num_workers=0",
    "negatives=[all,mixed]", "negatives.noise.draws=2", "negatives.offscreen.draws=2",
    "negatives.mixed.draws=1", "bootstrap.resamples=50",
)  # fmt: skip
NEGATIVES = "silence+noise+offscreen+mixed"
KEY = "0123456789abcdef" * 2 + "01234567"


class Logged:
    """The content of a .wandb file, as `wandb leet inspect` prints it."""

    def __init__(self, file: Path) -> None:
        from wandb.proto.wandb_internal_pb2 import Record
        from wandb.util import get_core_path

        # what `wandb leet inspect` calls, after it has imported wandb
        inspect = ["leet", "--no-observability", "--inspect", "--run-file", str(file)]
        shown = subprocess.run(
            [get_core_path(), *inspect, str(file.parent)],
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout  # fmt: skip
        texts = re.split(r"^# record .*$", shown, flags=re.MULTILINE)
        self.records = [text_format.Parse(text, Record()) for text in texts if text.strip()]
        self.folder = file.parent

    def of(self, kind: str) -> list[Any]:
        return [getattr(r, kind) for r in self.records if r.WhichOneof("record_type") == kind]

    @property
    def run(self) -> Any:
        return self.of("run")[0]

    @property
    def config(self) -> dict[str, Any]:
        updates = [u for r in self.of("run") for u in r.config.update]
        updates += [u for c in self.of("config") for u in c.update]
        return {u.key: json.loads(u.value_json) for u in updates}

    @property
    def values(self) -> dict[str, Any]:
        """The last value of everything that was logged."""
        found: dict[str, Any] = {}
        for item in (item for history in self.of("history") for item in history.item):
            *parents, last = item.nested_key or [item.key]
            place = found
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = json.loads(item.value_json)
        return found

    @property
    def exit_codes(self) -> list[int]:
        return [int(record.exit_code) for record in self.of("exit")]

    def table(self, key: str) -> pd.DataFrame:
        content = json.loads((self.folder / "files" / self.values[key]["path"]).read_text())
        return pd.DataFrame(content["data"], columns=content["columns"])


def logged(folder: Path) -> Logged:
    """The only run that wandb keeps below a folder."""
    (file,) = (folder / "wandb").glob("offline-run-*/run-*.wandb")
    return Logged(file)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the default loggers, in a process of its own."""
    place = tmp_path_factory.mktemp("finished")
    done = command("vssl-evaluate", *SMALL, "sweep_id=nightly", "output_dir=run", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return place / "run"


@pytest.fixture(scope="module")
def mirror(finished: Path) -> Logged:
    return logged(finished)


def unbegun(folder: Path) -> WandbRun:
    return WandbRun(project="p", name="n", group="g", job_type="j", tags=[], save_dir=str(folder))


@pytest.mark.slow
def test_runs_can_be_grouped_and_filtered(finished: Path, mirror: Logged) -> None:
    assert mirror.folder.name.startswith("offline-run-")
    assert mirror.run.project == "vssl"
    known = json.loads((finished / "run.json").read_text())
    name = f"audio_blind-synthetic-corrected-{NEGATIVES}-{known['config_hash'][:8]}"
    assert mirror.run.display_name == name
    assert mirror.run.run_group == "nightly"
    assert mirror.run.job_type == "evaluate"
    assert list(mirror.run.tags) == ["audio_blind", "synthetic", NEGATIVES, "corrected"]
    config = mirror.config
    assert config["config_hash"] == known["config_hash"]
    assert {key: config[key] for key in known["identity"]} == known["identity"]
    assert config["run"] == {
        "model": "audio_blind", "data": "synthetic", "negatives": NEGATIVES,
        "protocol": "corrected", "prior": "none",
    }  # fmt: skip
    assert set(config["metrics"]) >= {"ciou", "f_loc"}
    assert config["bootstrap"]["resamples"] == 50
    assert mirror.exit_codes == [0]
    log = (mirror.folder / "files" / "vssl-evaluate.log").read_text()
    assert log == (finished / "vssl-evaluate.log").read_text()
    assert "audio_blind on synthetic" in log


@pytest.mark.slow
def test_every_number_of_the_summary_is_there(finished: Path, mirror: Logged) -> None:
    summary = pd.read_parquet(finished / "summary.parquet")
    expected = {summary_key(row): row["value"] for row in summary.to_dict("records")}
    assert len(expected) == len(summary)
    values = mirror.values
    defined = {key: value for key, value in expected.items() if not pd.isna(value)}
    plain = {key: value for key, value in values.items() if isinstance(value, int | float)}
    plain = {key: value for key, value in plain.items() if not key.startswith("_")}
    assert plain == pytest.approx(defined, rel=0, abs=1e-12)
    table = mirror.table("numbers")
    assert set(summary) - set(table) == {"manifest_hash", "config_hash"}
    pd.testing.assert_frame_equal(
        table, summary[table.columns], check_dtype=False, rtol=0, atol=1e-6
    )
    sizes = [path.stat().st_size for path in mirror.folder.rglob("*") if path.is_file()]
    assert sum(sizes) < 2**20


@pytest.mark.slow
def test_the_table_by_class_is_that_of_the_subsets(finished: Path, mirror: Logged) -> None:
    keys = ["class", "threshold_policy", "map_variant"]
    table = mirror.table("per_class").set_index(keys)
    subsets = pd.read_parquet(finished / "subsets.parquet").query("subset_kind == 'category'")
    shown = ["fixed", "object_area", "universal_q3", "false_alarm_10"]
    assert set(table.index.get_level_values(1)) == set(shown)
    kept = subsets[subsets["threshold_policy"].isin(shown)].rename(columns={"subset": "class"})
    assert len(kept) > 100
    kept["name"] = kept["condition"] + "/" + kept["metric"]
    expected = kept.pivot(index=keys, columns="name", values="value")
    found = table[expected.columns].astype(float)
    pd.testing.assert_frame_equal(
        found.sort_index(), expected, check_names=False, rtol=0, atol=1e-6
    )
    counts = kept[kept["name"] == "positive/ciou"].set_index(keys)["n"]
    assert table["n"].to_dict() == counts.to_dict()


@pytest.mark.slow
def test_distributions_curves_and_pictures(finished: Path, mirror: Logged) -> None:
    found, values = records(finished), mirror.values
    for condition, rows in found.groupby("audio_condition"):
        histogram = values[f"map_maximum/{condition}"]
        edges = np.array(histogram["bins"])
        expected, _ = np.histogram(rows["similarity_max"].astype(float), bins=edges)
        np.testing.assert_array_equal(histogram["values"], expected)
        assert sum(histogram["values"]) == len(rows)

    curves = mirror.table("threshold_curves")
    summary = pd.read_parquet(finished / "summary.parquet")
    named = ["1-pia/silence", "1-pia/noise", "1-pia/offscreen"]
    assert list(curves.columns) == ["threshold", "ciou", "f_loc", *named]
    # audio_blind's maps are the same in every draw, so the first draw's curve is everybody's
    row = summary[(summary["metric"] == "ciou") & (summary["threshold_policy"] == "fixed")].iloc[0]
    at = np.interp(0.5, curves["threshold"], curves["ciou"])
    assert at == pytest.approx(row["value"], abs=0.02)
    assert (curves["1-pia/silence"].diff().dropna() >= 0).all()

    gallery = values["gallery"]
    assert gallery["count"] == 3
    for name, caption in zip(gallery["filenames"], gallery["captions"], strict=True):
        with Image.open(mirror.folder / "files" / name) as picture:
            assert picture.format == "JPEG"
            assert picture.width > 3 * picture.height  # four sounds side by side
        sample, category = caption.split(": ")
        assert set(found.loc[found["sample_id"] == sample, "category"]) == {category}


@pytest.fixture(scope="module")
def board(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The dashboard of the run, below whose folder it is looked for."""
    place = tmp_path_factory.mktemp("board")
    written = command(
        "vssl-dashboard", str(finished.parent), "--entity", "me", "--project", "mine",
        "--group", "nightly", "--output", "made/board.json", cwd=place,
    )  # fmt: skip
    assert written.returncode == 0, written.stderr
    assert [path.name for path in (place / "made").iterdir()] == ["board.json"]
    content: dict[str, Any] = json.loads((place / "made" / "board.json").read_text())
    return content


@pytest.mark.slow
def test_the_dashboard_shows_all_that_runs_log(board: dict[str, Any], mirror: Logged) -> None:
    assert (board["entity"], board["project"]) == ("me", "mine")
    (runs,) = board["spec"]["section"]["runSets"]
    assert [(f["key"]["name"], f["value"]) for f in runs["filters"]["filters"]] == [
        ("group", "nightly")
    ]
    columns = [name.removeprefix("summary:") for name in runs["runFeed"]["columnOrder"][1:]]
    values, curves = mirror.values, set(mirror.table("threshold_curves").columns)
    shown: dict[str, set[str]] = {}
    for section in board["spec"]["section"]["panelBankConfig"]["sections"]:
        for panel in section["panels"]:
            config, kind = panel["config"], panel["viewType"]
            keys = config.get("metrics") or config.get("mediaKeys") or []
            keys += config["fieldSettings"].values() if kind == "Vega2" else []
            if kind == "Weave":
                keys = [key for key in ("numbers", "per_class") if f'"{key}"' in json.dumps(config)]
            assert keys or kind == "Run Comparer"
            shown.setdefault(kind, set()).update(keys)
            if section["name"] == "Overview":
                shown.setdefault("first", set()).update(keys)
    numbers = {key for key, value in values.items() if isinstance(value, int | float)}
    assert shown["Bar Chart"] == {key for key in numbers if not key.startswith("_")}
    assert shown["Run History Line Plot"] == {k for k in values if k.startswith("map_maximum/")}
    assert shown["Vega2"] == curves
    assert shown["Media Browser"] | shown["Weave"] == {"gallery", "numbers", "per_class"}
    assert set(columns) <= shown["first"] < numbers
    assert {"silence/false_alarm_rate/fixed", "all/f_loc/universal_q3"} <= set(columns)
    assert {"all/detection_ap/fixed", "positive/ciou/false_alarm_10"} <= set(columns)


@pytest.mark.slow
def test_titles_say_direction_and_unit(board: dict[str, Any]) -> None:
    sections = board["spec"]["section"]["panelBankConfig"]["sections"]
    panels = [panel["config"] for section in sections for panel in section["panels"]]
    titles = {panel["chartTitle"]: panel["xAxisTitle"] for panel in panels if "limit" in panel}
    assert titles["pIA, fixed, lower is better"] == "fraction"
    assert titles["separability, higher is better"] == "units of the map"
    # agreement with the mixed sound is wanted, with the others it is not
    assert titles["agreement, positive and others, fixed"] == "fraction"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb_workspaces")
def test_of_several_models_each_has_a_dashboard(finished: Path, tmp_path: Path) -> None:
    numbers = logged_numbers([finished])
    numbers = pd.concat([numbers, numbers.assign(model="other")])
    whole, own = (build_dashboard("me", "mine", numbers, model=name) for name in ("", "other"))
    assert [len(section.panels) for section in whole.sections] == [
        len(section.panels) for section in own.sections
    ]
    assert (whole.name, own.name) == ("vssl", "vssl other")
    assert "other" in str(own.runset_settings.filters)
    with pytest.raises(UsageError, match="holds no finished run"):
        logged_numbers([tmp_path])


@pytest.mark.slow
def test_the_documentation_has_every_key_and_no_other(mirror: Logged) -> None:
    """Patterns of its tables: `<part>` is any word, `[.end]` may be missing."""
    text = Path("docs/tracking.md").read_text()
    logged_keys = {key for key in mirror.values if not key.startswith("_")}
    for title, found in (("Keys", logged_keys), ("Config", set(mirror.config) - {"_wandb"})):
        table = text.partition(f"### {title}\n")[2].partition("\n##")[0]
        rows = re.findall(r"^\| (`.*?) \| (.*?) \|", table, flags=re.MULTILINE)
        known = set()
        for names, examples in rows:
            forms = [re.escape(name) for name in re.findall("`(.*?)`", names)]
            forms = [re.sub(r"\\\[(.*?)\\\]", r"(\1)?", form) for form in forms]
            forms = [re.sub("<.*?>", "[^/]+", form) for form in forms]
            for example in re.findall("`(.*?)`", examples) if title == "Keys" else ():
                assert any(re.fullmatch(form, example) for form in forms), example
            for form in forms:
                matched = {key for key in found if re.fullmatch(form, key)}
                assert matched, form
                known |= matched
        assert known == found


@pytest.mark.slow
def test_a_dashboard_that_cannot_be_made_or_saved_says_why(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as absent:
        for name in [n for n in sys.modules if n.startswith("wandb_workspaces.")]:
            absent.delitem(sys.modules, name)
        absent.setitem(sys.modules, "wandb_workspaces", None)
        with pytest.raises(UsageError, match=r"pip install 'vssl\[dashboard\]'"):
            build_dashboard("me", "mine", pd.DataFrame())
    for name in [n for n in os.environ if n.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    refused = command("vssl-dashboard", str(finished), "--entity", "me", "--save", cwd=tmp_path)
    assert refused.returncode == 1
    assert "error: --save: there is no API key" in refused.stderr
    assert not list(tmp_path.glob("*.json"))


PRELUDE = """
import json, logging, os, pathlib, subprocess, sys, time, urllib.request
import wandb
logging.basicConfig(stream=sys.stderr, level="INFO", format="%(levelname)s %(message)s")
from vssl.engine import wandb_run
from vssl.engine.loggers import open_loggers
from vssl.engine.wandb_run import WandbRun
def made(folder, **more):
    return WandbRun(project="vssl", name="n", group="g", job_type="j", tags=["t" * 70],
                    save_dir=folder, **more)
"""


def python(code: str, *arguments: str, cwd: Path) -> Any:
    """Run code that uses `WandbRun`; without the tests' own WANDB_MODE."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "NETRC"))}
    own = {"HOME": str(cwd), "NETRC": str(cwd / "netrc"), "WANDB_SILENT": "true"}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, *arguments],
        cwd=cwd, env={**kept, **own}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@contextmanager
def server() -> Iterator[tuple[str, list[str]]]:
    """Takes a run as wandb's server would, and nothing after `/vanish`: address and requests."""
    taken: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            taken.append(body.decode(errors="replace"))
            project = {"id": "cA==", "name": "vssl", "entity": {"id": "ZQ==", "name": "e"}}
            bucket = {"id": "cg==", "name": "r", "displayName": "n", "config": "{}"}
            bucket |= {"description": "", "sweepName": None, "historyLineCount": 0}
            answer = {
                "data": {
                    "upsertBucket": {"bucket": {**bucket, "project": project}, "inserted": True},
                    "createRunFiles": {"runID": "r", "uploadHeaders": [], "files": []},
                }
            }
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            if self.path == "/vanish":
                threading.Thread(target=self.server.shutdown).start()
                self.server.socket.close()

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as serving:
        serving.daemon_threads = True
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}", taken
        serving.shutdown()


RUNS = """
for name, (key, url) in json.loads(sys.argv[1]).items():
    wandb.teardown()
    wandb_run._PATIENCE = 2 if name == "vanishing" else 3
    os.environ.update(WANDB_API_KEY=key, WANDB_BASE_URL=url)
    if not key:
        del os.environ["WANDB_API_KEY"]
    run = made(name, offline=False)
    start = time.monotonic()
    with open_loggers([run], config={"a": 1}):
        run.log_metrics({"m": 0.5})
        if name == "vanishing":
            urllib.request.urlopen(url + "/vanish").read()
            start = time.monotonic()
            run.log_metrics({"after": 2.0})
            run.log_table("table", ["x"], [[1]])
    print(name, time.monotonic() - start)

wandb.teardown()
unwritable = made("file/run")
with open_loggers([unwritable], config={}):
    unwritable.log_metrics({"m": 1.0})
for number, version in enumerate(("cafe0123", "cafe0123", "beef4567")):
    run = made("run", version=version)
    try:
        with open_loggers([run], config={"own": number}):
            run.log_metrics({"m": number, str(number): 1.0})
            if number == 0:
                raise KeyboardInterrupt
            if number == 2:
                run.log_table("table", ["x", "y"], [[1.0, "text"], [None, None]])
    except KeyboardInterrupt:
        print("interrupted", 0)
        time.sleep(1)  # names of folders have seconds
run = made("dying")
with open_loggers([run], config={}):
    run.log_metrics({"m": 1.0})
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        pid, rest = path.parent.name, path.read_text().rsplit(")", 1)[1].split()
        if int(rest[1]) == os.getpid():
            os.kill(int(pid), 9)
    time.sleep(0.5)
    run.log_metrics({"n": 1.0})
    run.log_table("table", ["x"], [[1]])
print("went on", 0)
"""


@dataclass
class Told:
    """A process with many runs: its folder, its log, and the seconds that some took."""

    folder: Path
    log: str
    seconds: dict[str, float]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("told")
    (folder / "file").touch()
    with socket.socket() as silent, server() as (url, _):
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes connections and never answers
        cases = {
            "keyless": ("", "http://127.0.0.1:9"),
            "silent": (KEY, f"http://127.0.0.1:{silent.getsockname()[1]}"),
            "vanishing": (KEY, url),
        }
        done = python(RUNS, json.dumps(cases), cwd=folder)
    lines = [line.rpartition(" ") for line in done.stdout.splitlines()]
    seconds = {name: float(value) for name, _, value in lines}
    assert list(seconds) == [*cases, "interrupted", "went on"]
    return Told(folder, done.stderr, seconds)


@pytest.mark.slow
def test_without_a_key_or_a_server_a_run_is_kept_offline(told: Told) -> None:
    for name in ("keyless", "silent"):
        assert told.seconds[name] < 20
        (kept,) = (told.folder / name / "wandb").glob("offline-run-*")
        assert f"`wandb sync {name}/wandb/{kept.name}` sends it later" in told.log
        found = logged(told.folder / name)
        assert (found.values["m"], found.exit_codes) == (0.5, [0])
    reasons = re.findall(r"WARNING wandb: kept offline, (.*?);", told.log)
    assert "no API key" in reasons[0]
    assert "CommError" in reasons[1]


@pytest.mark.slow
def test_a_server_that_vanishes_neither_holds_nor_fails_a_run(told: Told) -> None:
    assert told.seconds["vanishing"] < 20
    assert "wandb: nothing more is logged" in told.log
    assert re.search(
        r"the end of the run may be missing, .* `wandb sync vanishing/wandb/run-", told.log
    )
    (file,) = told.folder.glob("vanishing/wandb/run-*/run-*.wandb")
    values = Logged(file).values
    assert (values["m"], values["after"]) == (0.5, 2.0)


@pytest.mark.slow
def test_each_run_of_a_process_is_a_run_of_its_own(told: Told) -> None:
    """And a folder that cannot be written, or a service that dies, costs a warning."""
    assert "wandb: nothing more is logged (NotADirectoryError" in told.log
    files = told.folder.glob("run/wandb/offline-run-*/run-*.wandb")
    runs = sorted(map(Logged, files), key=lambda found: int(found.config["own"]))
    assert [found.exit_codes for found in runs] == [[1], [0], [0]]
    for number, found in enumerate(runs):
        assert found.config["own"] == number
        assert {"0", "1", "2"} & found.values.keys() == {str(number)}
        assert len(found.run.tags[0]) == 64
    table = runs[2].table("table")
    assert table.loc[0].tolist() == [1.0, "text"]
    assert table.loc[1].isna().all()


@pytest.mark.slow
def test_a_run_that_goes_on_is_one_run_for_wandb(told: Told) -> None:
    """An interrupted try and the next one in the folder, both sent by `wandb sync` later."""
    folders = sorted(told.folder.glob("run/wandb/offline-run-*-cafe0123"))
    first, again = (folder.name.split("-", 3)[3] for folder in folders)
    assert first == again
    assert len(list(told.folder.glob("run/wandb/offline-run-*-beef4567"))) == 1
    with server() as (url, taken):
        own = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": url, "HOME": str(told.folder)}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
        sync = [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
        subprocess.run(sync, env={**kept, **own}, cwd=told.folder, capture_output=True, check=False)
    begun = [json.loads(text)["variables"] for text in taken if "mutation UpsertBucket" in text]
    assert [each["name"] for each in begun if each["groupName"]] == [first, first]
    ended = [json.loads(text) for text in taken if '"exitcode"' in text]
    assert [each["exitcode"] for each in ended] == [1, 0]
    streamed = [json.loads(text)["files"] for text in taken if "history.jsonl" in text]
    assert [each["wandb-history.jsonl"]["offset"] for each in streamed] == [0, 0]
    numbers = [json.loads(each["wandb-history.jsonl"]["content"][0])["m"] for each in streamed]
    assert numbers == [0, 1]


def test_what_cannot_be_mirrored_is_said_and_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose files are gone: every part fails, none raises."""
    monkeypatch.setattr(WandbRun, "is_open", True)
    with caplog.at_level("WARNING"):
        mirror_run(run_settings(), tmp_path, [unbegun(tmp_path / "wandb")])
    for part in ("map_maximum", "gallery", "threshold_curves"):
        assert f"wandb: no {part} (" in caplog.text
    assert not (tmp_path / "wandb").exists()


def test_a_run_that_never_begins_leaves_nothing(tmp_path: Path) -> None:
    """A fault in the data is found before the networks start."""
    run = unbegun(tmp_path / "wandb")
    with pytest.raises(UsageError), open_loggers([run], config={"a": 1}):
        raise UsageError("no such folder")
    run.log_metrics({"late": 1.0})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "name", "group", "tags"),
    [
        ((), "", "synthetic-corrected", ["audio_blind", "synthetic", "all", "corrected"]),
        (
            ("sweep_id=mine", "prior=object_guided", "negatives=[noise,silence]", "seed=2"),
            "-noise+silence-object_guided-seed2",
            "mine",
            ["audio_blind", "synthetic", "noise+silence", "corrected", "object_guided"],
        ),
        (
            ("protocol=released", "protocol.antialias=true", "negatives=none"),
            "-none",
            "synthetic-released",
            ["audio_blind", "synthetic", "none", "released+antialias=True"],
        ),
    ],
)
def test_name_group_and_tags_follow_from_the_configuration(
    overrides: tuple[str, ...], name: str, group: str, tags: list[str]
) -> None:
    config = composed("logger=wandb", *overrides)
    OmegaConf.update(config, "logger.wandb.save_dir", "elsewhere")  # Hydra's, outside of Hydra
    wandb = OmegaConf.to_container(config.logger.wandb, resolve=True)
    OmegaConf.resolve(config.logger)  # as --cfg job --resolve does
    assert wandb["group"] == group
    own_hash = RunSettings.of(config).identity_hash[:8]
    assert wandb["name"] == f"audio_blind-synthetic-{tags[3]}{name}-{own_hash}"
    assert wandb["version"] == own_hash
    assert wandb["tags"] == tags
