"""The page of the live demo, made with Gradio, and its server on this machine alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vssl.core.errors import UsageError
from vssl.core.extras import extra
from vssl.demo import drawing, inputs
from vssl.demo.inputs import Given
from vssl.demo.studio import CALIBRATION_SCENES, POLICIES, Studio
from vssl.types import Sample

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # which Gradio reads when it is imported
with extra("demo"):
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

HOST = "127.0.0.1"
# a page from elsewhere whose name was made to lead to this machine gets nothing
_ONLY_OURS = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
_FIRST_SCENE = 5  # of the embedded benchmark: a model that hears tells its two objects apart
_STYLE = Path(__file__).with_name("demo.css")
_INTRODUCTION = (
    "<h1>Change the sound, watch the map</h1><p>A model that hears marks what sounds, and nothing"
    " where nothing does. A deaf one marks the same whatever sounds.</p>"
)
_LIMITS = (
    "<h2>Your own picture, video or sound</h2><p>At most {0.MOST_MEGABYTES} MB, {0.MOST_MEGAPIXELS}"
    " million pixels, {0.MOST_SECONDS} seconds. Nothing leaves this machine.</p>"
)
_SETTING_UP = (
    "Setting up {}. A model that comes with vssl is first evaluated on"
    f" {CALIBRATION_SCENES} drawn scenes, once, to know how often it is wrong."
)
_ALONE: dict[str, Any] = {
    "concurrency_id": "demo",
    "concurrency_limit": 1,
    "api_visibility": "private",
}


class Page:
    """Components of the page, and what each does when it is used.

    `scenes` are pictures to choose from, each with its samples; one is shown at first.
    """

    def __init__(self, studio: Studio, scenes: Sequence[Sequence[Sample]]) -> None:
        self.studio, self.scenes = studio, scenes
        self.names = {inputs.name_of(scene, n): n for n, scene in enumerate(scenes)}
        studio.tuned(studio.options.model)
        with gr.Blocks(title="vssl demo", analytics_enabled=False) as self.blocks:
            self.given = gr.State(inputs.of_scene(scenes, min(_FIRST_SCENE, len(scenes) - 1)))
            with gr.Row(elem_id="head"):
                gr.HTML(_INTRODUCTION, elem_id="title")
                model = studio.options.model
                self.model = gr.Dropdown(
                    [model], value=model, label="Model", elem_id="model", scale=0, min_width=240
                )
            with gr.Row(equal_height=True):
                self.scene = gr.Radio(
                    list(self.names), label="Picture", elem_id="scenes", scale=3, min_width=320
                )
                self.player = gr.Audio(
                    label="The sound that is chosen", interactive=False, buttons=[], min_width=250,
                    elem_id="player",
                )  # fmt: skip
            with gr.Row(equal_height=True):
                self.sound = gr.Radio([], label="Sound", elem_id="sounds", scale=2, min_width=320)
                self.second = gr.Slider(
                    label="Second of the video", elem_id="second", visible=False
                )
                self.limit = gr.Slider(label="Threshold", elem_id="threshold", min_width=240)
                self.policy = gr.Radio(
                    [], label="Threshold policy", elem_id="policy", min_width=240
                )
            self.result = gr.HTML(elem_id="result")
            gr.HTML(_LIMITS.format(inputs), elem_id="own")
            with gr.Row(equal_height=True):
                self.file = gr.File(label="A picture or a video", elem_id="file", min_width=300)
                self.audio = gr.Audio(
                    sources=["upload", "microphone"], type="filepath", label="A sound", buttons=[],
                    editable=False, elem_id="audio", min_width=300,
                )  # fmt: skip
            self._listen()

    def _listen(self) -> None:
        """Connect components with what they do; one computation at a time."""
        state = [self.model, self.given, self.policy, self.limit]
        shown = [self.given, self.scene, self.sound, self.second, self.player, self.policy,
                 self.limit, self.result]  # fmt: skip
        changes: list[tuple[Any, Any, Callable[[Given, Any], Given]]] = [
            (self.scene.input, self.scene,
             lambda _, name: inputs.of_scene(self.scenes, self.names[name])),
            (self.sound.input, self.sound, Given.choose),
            (self.second.input, self.second, lambda given, value: replace(given, second=value)),
            (self.file.upload, self.file,
             lambda given, path: inputs.with_picture(given, path, self.scenes)),
            (self.audio.upload, self.audio, inputs.with_sound),
            (self.audio.stop_recording, self.audio, inputs.with_sound),
        ]  # fmt: skip
        for event, source, change in changes:
            event(self._answer(change), [*state, source], shown, **_ALONE)
        first = self._answer()
        self.blocks.load(
            lambda model, given: first(model, given, POLICIES[0], 0.0), state[:2], shown, **_ALONE
        )
        self.model.input(self._other_model, state, shown, **_ALONE)
        self.policy.input(self._answer(), state, shown, **_ALONE)
        self.limit.input(
            self._moved, state, [self.policy, self.result], trigger_mode="always_last",
            show_progress="hidden", **_ALONE,
        )  # fmt: skip
        self.blocks.load(
            lambda: gr.update(choices=self.studio.models()), None, [self.model],
            api_visibility="private", show_progress="hidden",
        )  # fmt: skip

    def _answer(self, change: Callable[[Given, Any], Given] | None = None) -> Callable[..., Any]:
        """What to do when something is given: show it, or an error while all else stays."""

        def answer(
            model: str, given: Given, policy: str | None, limit: float, value: Any = None
        ) -> dict[Any, Any]:
            try:
                new = given if change is None else change(given, value)
                return self.shown(model, new, policy or limit)
            except (UsageError, OSError) as error:
                files = [given.picture, *(each.path for each in given.sounds), Path(str(value))]
                return {self.result: drawing.error_html(error, files)}

        return answer

    def _moved(self, model: str, given: Given, _: str | None, limit: float) -> dict[Any, Any]:
        shown = self._answer()(model, given, None, limit)
        return {each: shown[each] for each in (self.policy, self.result) if each in shown}

    def _other_model(self, model: str, *state: Any) -> Iterator[dict[Any, Any]]:
        yield {self.result: drawing.busy_html(_SETTING_UP.format(model))}
        yield self._answer()(model, *state)

    def shown(self, model: str, given: Given, choice: str | float) -> dict[Any, Any]:
        """What every component shows of what is given, at a threshold or a policy's.

        Raises:
            UsageError: for a file or a model that cannot be used.
        """
        policies = list(self.studio.tuned(model).policies)
        if isinstance(choice, str) and choice not in policies:
            choice = policies[0] if policies else 0.0
        shown = self.studio.show(model, given, choice)
        threshold, (low, high) = shown.setup.threshold, shown.looked.bounds
        value = threshold.value if threshold else low
        low, high = min(low, value), max(high, value)
        clip = shown.looked.clip
        pictures = {self.scenes[n][0].image_path: name for name, n in self.names.items()}
        return {
            self.given: given,
            self.scene: pictures.get(given.picture),
            self.sound: gr.update(choices=[s.name for s in given.sounds], value=given.sound.name),
            self.second: gr.update(
                visible=given.is_video,
                maximum=max(given.seconds, 0.1),
                value=given.second,
                step=0.1,
            ),
            self.player: (clip.rate, np.int16(32767 * clip.samples.T.clip(-1, 1))),
            self.policy: gr.update(
                choices=policies, value=choice if isinstance(choice, str) else None
            ),
            self.limit: gr.update(
                minimum=low, maximum=high, step=(high - low) / 200, value=round(value, 4)
            ),
            self.result: drawing.result_html(shown, given.note),
        }

    def serve(self, port: int | None = None) -> None:
        """Serve the page to this machine alone until Ctrl-C is pressed, and open a browser.

        Uploads lie in the folder that the environment variable GRADIO_TEMP_DIR names. `port` None
        takes the first free one from 7860 on.

        Raises:
            UsageError: when the port is taken.
        """
        os.environ.pop("GRADIO_ALLOWED_PATHS", None)
        screen = bool({"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ))
        style = _STYLE.read_text(encoding="utf-8")
        style += drawing.thumbnails_css([scene[0].image_path for scene in self.scenes])
        theme = gr.themes.Base(primary_hue="teal", font=gr.themes.Font("system-ui"))
        try:
            _, address, _ = self.blocks.launch(
                server_name=HOST, server_port=port, share=False, prevent_thread_lock=True,
                inbrowser=screen or sys.platform in ("darwin", "win32"), quiet=True,
                max_file_size=f"{inputs.MOST_MEGABYTES}mb", state_session_capacity=50,
                footer_links=[], run_history=False, ssr_mode=False, pwa=False, mcp_server=False,
                enable_monitoring=False, theme=theme, css=style,
                app_kwargs={"middleware": [_ONLY_OURS]},
            )  # fmt: skip
        except OSError as error:
            raise UsageError(f"--port {port or '7860-7959'}: is taken. Give another.") from error
        sys.stdout.write(f"vssl demo: {address} (Ctrl-C ends it)\n")
        sys.stdout.flush()
        self.blocks.block_thread()
