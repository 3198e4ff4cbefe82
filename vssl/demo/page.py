"""The page of the live demo, made with Gradio, and its server on this machine alone."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vssl.core.errors import UsageError
from vssl.core.extras import extra
from vssl.demo import drawing, inputs
from vssl.demo.inputs import Given, Scene
from vssl.demo.studio import CALIBRATION_SCENES, POLICIES, Studio

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # which Gradio reads when it is imported
with extra("demo"):
    import gradio as gr

HOST = "127.0.0.1"
_FIRST_SCENE = 5  # of the embedded benchmark: a model that hears tells its two objects apart
_WITHOUT_POLICY = 0.5
_NAMES = ("learnt from negatives", "at most 5 % of false alarms", "one for all models")
_STYLE = Path(__file__).with_name("demo.css")
_INTRODUCTION = (
    "<h1>Change the sound, watch the map</h1><p>A model that hears marks what sounds, and nothing"
    " where nothing does. A deaf one marks the same whatever sounds.</p>"
)
_LIMITS = (
    "<h2>Your own picture, video or sound</h2><p>At most"
    f" {inputs.MOST_MEGABYTES} MB, {inputs.MOST_MEGAPIXELS} million pixels,"
    f" {inputs.MOST_SECONDS} seconds. Nothing leaves this machine.</p>"
)
_SETTING_UP = (
    "Setting up {}. A model that comes with vssl is first evaluated on"
    f" {CALIBRATION_SCENES} drawn scenes, once, to know how often it is wrong."
)


class Page:
    """Components of the page, and what each does when it is used.

    The first picture of `scenes` to be shown is computed already.
    """

    def __init__(self, studio: Studio, scenes: Sequence[Scene]) -> None:
        self.studio, self.scenes = studio, scenes
        model = studio.options.model
        first = inputs.of_scene(scenes, min(_FIRST_SCENE, len(scenes) - 1))
        of_given, of_scene, of_sound, of_second, of_player, *of_results = self._shown(
            model, first, POLICIES[0]
        )
        of_policy, of_limit, of_verdict, of_maps, of_rates = of_results
        with gr.Blocks(title="vssl demo", analytics_enabled=False) as self.blocks:
            self.given = gr.State(of_given)
            with gr.Row(equal_height=True, elem_id="head"):
                gr.HTML(_INTRODUCTION, elem_id="title")
                self.model = gr.Dropdown(
                    [model], value=model, label="Model", elem_id="model", scale=0, min_width=240
                )
            names = [each.name for each in scenes]
            with gr.Row(equal_height=True):
                self.scene = gr.Radio(
                    names, label="Picture", elem_id="scenes", scale=3, min_width=320, **of_scene
                )
                self.player = gr.Audio(
                    label="The sound that is chosen", interactive=False, buttons=[],
                    elem_id="player", min_width=250, **of_player,
                )  # fmt: skip
            with gr.Row(equal_height=True):
                self.sound = gr.Radio(
                    label="Sound", elem_id="sounds", scale=3, min_width=320, **of_sound
                )
                self.second = gr.Slider(
                    0, label="Second of the video", elem_id="second", step=0.1, min_width=250,
                    **of_second,
                )  # fmt: skip
            self.verdict = gr.HTML(elem_id="verdict", **of_verdict)
            self.maps = gr.HTML(elem_id="maps", **of_maps)
            with gr.Row(equal_height=True):
                self.limit = gr.Slider(
                    label="Threshold", elem_id="threshold", min_width=300, **of_limit
                )
                self.policy = gr.Radio(
                    label="Choice of the threshold", elem_id="policy", min_width=300, **of_policy
                )
            self.rates = gr.HTML(elem_id="rates", **of_rates)
            gr.HTML(_LIMITS, elem_id="own")
            with gr.Row(equal_height=True):
                self.file = gr.File(
                    label="A picture or a video", elem_id="file", min_width=300, height=180
                )
                self.audio = gr.Audio(
                    sources=["upload", "microphone"], type="filepath", label="A sound",
                    elem_id="audio", min_width=300, editable=False, buttons=[],
                )  # fmt: skip
            self._listen()

    def _listen(self) -> None:
        """Connect components with what they do; one computation at a time."""
        state = [self.model, self.given, self.policy, self.limit]
        results = [self.policy, self.limit, self.verdict, self.maps, self.rates]
        everything = [self.given, self.scene, self.sound, self.second, self.player, *results]
        pictures = {each.name: n for n, each in enumerate(self.scenes)}

        def on(event: Any, function: Callable[..., Any], source: Any, **more: Any) -> None:
            event(
                function, [*state, *source], everything, concurrency_id="demo",
                concurrency_limit=1, api_visibility="private", show_progress_on=[self.verdict],
                **{"show_progress": "minimal", **more},
            )  # fmt: skip

        changes: list[tuple[Any, Any, Callable[[Given, Any], Given]]] = [
            (self.scene.input, self.scene,
             lambda _, name: inputs.of_scene(self.scenes, pictures[name])),
            (self.sound.input, self.sound, Given.choose),
            (self.second.input, self.second, lambda given, value: replace(given, second=value)),
            (self.file.upload, self.file,
             lambda given, path: inputs.with_picture(given, Path(path), self.scenes)),
            *((event, self.audio, lambda given, path: inputs.with_sound(given, Path(path)))
              for event in (self.audio.upload, self.audio.stop_recording)),
        ]  # fmt: skip
        for event, source, change in changes:
            on(event, self._changed(change), [source])
        on(self.model.input, self._other_model, [])
        on(self.policy.input, self._same, [])
        on(self.limit.input, self._moved, [], trigger_mode="always_last", show_progress="hidden")
        self.blocks.load(
            lambda: gr.update(choices=self.studio.models()), None, [self.model],
            api_visibility="private", show_progress="hidden",
        )  # fmt: skip

    def _changed(self, change: Callable[[Given, Any], Given]) -> Callable[..., list[Any]]:
        """What to show after a change of what is given, with the threshold as it is chosen."""

        def answer(
            model: str, given: Given, policy: str | None, limit: float, value: Any
        ) -> list[Any]:
            return self._answer(model, given, policy or limit, lambda: change(given, value), value)

        return answer

    def _same(self, model: str, given: Given, policy: str | None, limit: float) -> list[Any]:
        return self._answer(model, given, policy or limit, lambda: given)

    def _moved(self, model: str, given: Given, policy: str | None, limit: float) -> list[Any]:
        shown = self._answer(model, given, limit, lambda: given)
        kept = [gr.skip()] * 5  # what does not depend on the threshold, and the slider that moves
        return [*kept, shown[5], gr.skip(), *shown[7:]]

    def _other_model(
        self, model: str, given: Given, policy: str | None, limit: float
    ) -> Iterator[list[Any]]:
        busy = drawing.busy_html(_SETTING_UP.format(model))
        yield [gr.skip()] * 7 + [gr.update(value=busy), gr.skip(), gr.skip()]
        yield self._same(model, given, policy or POLICIES[0], limit)

    def _answer(
        self, model: str, given: Given, choice: str | float, change: Callable[[], Given],
        file: Any = None,
    ) -> list[Any]:  # fmt: skip
        """What to show of what is given now; of an error its message, and everything else stays."""
        try:
            return [
                value if place == 0 else gr.update(**value)
                for place, value in enumerate(self._shown(model, change(), choice))
            ]
        except (UsageError, OSError) as error:
            files = [each.path for each in given.sounds]
            files += [given.picture, *([Path(file)] if isinstance(file, str) else [])]
            alert = gr.update(value=drawing.error_html(error, files))
            return [gr.skip()] * 7 + [alert, gr.update(value=""), gr.update(value="")]

    def _shown(self, model: str, given: Given, choice: str | float) -> list[Any]:
        """What is given, and the properties of all other components that show something."""
        policies = self.studio.tuned(model).policies
        if isinstance(choice, str) and choice not in policies:
            choice = next(iter(policies), _WITHOUT_POLICY)
        shown = self.studio.show(model, given, choice)
        threshold, (low, high) = shown.setup.threshold, shown.looked.bounds
        value = threshold.value if threshold else low
        low, high = min(low, value), max(high, value)
        clip = shown.looked.clip
        scene = [each.name for each in self.scenes if each.samples[0].image_path == given.picture]
        labels = {
            policy: f"{policy}: {name}" for policy, name in zip(POLICIES, _NAMES, strict=True)
        }
        return [
            given,
            {"value": scene[0] if scene else None},
            {"choices": [each.name for each in given.sounds], "value": given.sound.name},
            {"visible": given.video_seconds > 0, "maximum": given.video_seconds or 1,
             "value": given.second},
            {"value": (clip.rate, np.int16(32767 * clip.samples.T.clip(-1, 1)))},
            {"choices": [(labels[name], name) for name in policies],
             "value": choice if isinstance(choice, str) else None},
            {"minimum": low, "maximum": high, "step": (high - low) / 200, "value": value},
            {"value": drawing.verdict_html(shown, given.note)},
            {"value": drawing.maps_html(shown)},
            {"value": drawing.rates_html(shown)},
        ]  # fmt: skip


def serve(page: Page, port: int | None = None, *, wait: bool = True) -> str:
    """Serve the page to this machine alone, and return its address.

    Uploads lie in the folder that the environment variable GRADIO_TEMP_DIR names.

    Args:
        page: the page.
        port: None for the first free one from 7860 on.
        wait: whether to open a browser, and to return when Ctrl-C is pressed.

    Raises:
        UsageError: when the port is taken.
    """
    os.environ.pop("GRADIO_ALLOWED_PATHS", None)
    screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    try:
        _, address, _ = page.blocks.queue(max_size=20).launch(
            server_name=HOST, server_port=port, share=False, quiet=True, prevent_thread_lock=True,
            inbrowser=wait and (screen or sys.platform in ("darwin", "win32")),
            max_file_size=f"{inputs.MOST_MEGABYTES}mb", state_session_capacity=50,
            footer_links=[], run_history=False, ssr_mode=False, pwa=False, mcp_server=False,
            enable_monitoring=False, theme=gr.themes.Base(
                primary_hue="teal", font=gr.themes.Font("system-ui"),
                font_mono=gr.themes.Font("monospace"),
            ),
            css=_STYLE.read_text(encoding="utf-8") + drawing.thumbnails_css(page.scenes),
        )  # fmt: skip
    except OSError as error:
        if port is None:
            raise
        raise UsageError(f"--port {port}: is taken. Give another, or none.") from error
    if wait:
        sys.stdout.write(f"vssl demo: {address} (Ctrl-C ends it)\n")
        page.blocks.block_thread()
    return str(address)


def open_page(studio: Studio, words: Sequence[str], port: int | None) -> None:
    """Compute the first picture, and serve the page until Ctrl-C; uploads go with it."""
    with tempfile.TemporaryDirectory(prefix="vssl-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        serve(Page(studio, inputs.read_scenes(words)), port)
