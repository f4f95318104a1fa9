"""All encoders, their settings and what they give as a Markdown page, from the encoders themselves.

usage: python -m unicode_cmg.extract.encoders.reference > docs/reference/encoders.md
"""

from __future__ import annotations

from typing import Any

import yaml

from unicode_cmg.extract.encoders.base import Encoder
from unicode_cmg.extract.encoders.registry import OURS, PRESETS, encoder_class

_INTRODUCTION = """\
# Encoders

An encoder turns the decoded media of a clip into features: one row for each step of sound and video, one
for a still image, and one for each sentence, word or token of a text. `NAME` or `NAME:MODEL` chooses one
on the command line of `unicode-cmg extract`. In a configuration file and in Python a mapping with `name`
and settings does the same:

```yaml
video: {encoder: {name: transformers, model: models/dinov2, grid: 7}}
```

Features are in float32. Names that installed packages offer ([Add an
encoder](../guide/add-an-encoder.md)) come after these. This page is written by `python -m
unicode_cmg.extract.encoders.reference`.

| name | reads | features of a clip of T steps | needs |
| --- | --- | --- | --- |
"""

_GIVES = {
    "fbank": ("`[T, 128]`; Kaldi's log filter banks, 25 ms every 10 ms, averaged over the step", "`audio`"),
    "log-mel": ("`[T, 64]`; log mel bands, 25 ms every 10 ms, averaged over the step", "`audio`"),
    "mfcc": ("`[T, 20]`; cepstral coefficients of `log-mel`, averaged over the step", "`audio`"),
    "onnx": ("`[T, dim]`, or maps `[T, height, width, dim]`, as the file says", "`onnx`; `audio` for sound"),
    "pixels": ("`[T, 8, 8, 3]`; mean colours, between -0.5 and 0.5", "`media`"),
    "transformers": (
        "`[T, dim]` or `[T, grid, grid, dim]`; a text `[sentences, dim]`, `[words, dim]` or `[tokens, dim]`",
        "`media` for images; `audio` for sound at another rate",
    ),
    "vgg19": ("`[T, 7, 7, 512]`; maps of pool5 of images stretched to 224 x 224", "`media`"),
    "vggish": ("`[T, 128]`; the 0.96 s of sound at 16 kHz with which a step begins", "`audio`"),
}
"""Name -> features and extras of the package."""

_WITHOUT_MODEL = ("fbank", "log-mel", "mfcc", "pixels")

_PRESET_GIVES = {
    "ast": "`[T, 768]`",
    "bert-words": "`[up to 10, 768]`; as in the papers, which kept the words of a list alone",
    "clap": "`[T, 512]`; a text `[sentences, 512]`",
    "clip": "`[T, 512]`; a text `[sentences, 512]`",
    "dinov2": "`[T, 768]`",
    "minilm": "`[sentences, 384]`",
    "siglip": "`[T, 768]`; a text `[sentences, 768]`",
    "vgg19-pool5": "`[T, 7, 7, 512]`, the mean of 16 frames a second; the video features of the papers",
    "videomae": "`[T, 768]`, from 16 frames of each step",
    "wav2vec2": "`[T, 768]`",
    "whisper": "`[T, 512]`",
}
"""Name -> features of the model that it names; another model of the same kind can have another width."""

_SHORT = """\
## Short names

Each stands for the mapping beside it. `NAME:MODEL` takes another model, such as a local folder, and keeps
the rest: `dinov2:models/dinov2`.

| name | stands for | features |
| --- | --- | --- |
"""

_TRANSFORMERS = """\

The model is a folder that `save_pretrained` wrote or a name on the Hub, which transformers looks up in
its cache, then downloads. Code that comes with a model is never run. Tests run tiny models of AST,
wav2vec 2.0, HuBERT, Whisper, CLAP, PE-AV (its sound and text), ViT, DINOv2, DINOv3, ResNet, CLIP, SigLIP,
VideoMAE, BERT and sentence encoders; other models that `AutoModel` loads are read in the same way.

- **Sound.** The clip is cut into pieces that the model hears at once: 30 s for Whisper, 10.24 s for AST,
  up to 30 s for others. The frames of its last layer are averaged over each step by their time. CLAP and
  PE-AV hear each step alone, and give a vector in the space that they share with text. `window: 1` lets
  any model hear each second alone.
- **Images and video.** Each image is scaled by the model's own processor, with Pillow. The images of a
  step are averaged. VideoMAE and other video models read the frames of a step together. `grid: 7` keeps 7
  x 7 patches.
- **Text.** What is longer than the model can read goes through it in parts, and nothing is lost. A word
  is what stands between spaces, without punctuation at its ends; for languages without spaces use `per:
  token`.
"""

_VGG = {
    "vggish": """\

`model` is the file of weights that [torchvggish](https://github.com/harritaylor/torchvggish/releases)
publishes (`vggish-10086976.pth`), `pca` its `vggish_pca_params-970ea276.pth`. The features of AVE and of
the papers are raw embeddings, without `pca`. A step of two seconds or more gives the mean of the windows
that begin with each of its seconds.
""",
    "vgg19": """\

`model` is the file of weights of torchvision (`vgg19-dcbb9e9d.pth`). The published features of AVE were
made with weights of Keras, from the same architecture and training images.
""",
}

_TORCHAUDIO = """\
## Install torchaudio

`vggish`, `fbank`, `log-mel`, `mfcc` and every resampling use torchaudio: `pip install
'unicode-cmg[audio]'`. Its compiled part must match the installed torch and CUDA. If the import fails
("audio needs torchaudio, which cannot be imported"), there are two ways:

- Install torch and torchaudio together, from the index that
  [pytorch.org](https://pytorch.org/get-started/locally/) names.
- Install the part in Python alone, which is all that these encoders use:

```sh
pip install --no-deps torchaudio
rm -r "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torchaudio/lib"
```
"""


def reference() -> str:
    """The page."""
    rows = [
        f"| `{name}` | {', '.join(encoder_class(name).kinds)} | {' | '.join(_GIVES[name])} |" for name in OURS
    ]
    short = [
        f"| `{name}` | `{_mapping(values)}` | {_PRESET_GIVES[name]} |" for name, values in PRESETS.items()
    ]
    parts = [_INTRODUCTION + "\n".join(rows) + "\n", _SHORT + "\n".join(short) + "\n"]
    for name in OURS:
        text = _TRANSFORMERS if name == "transformers" else _VGG.get(name, "")
        parts.append(f"## `{name}`\n\n{_settings(encoder_class(name))}{text}")
    return "\n".join([*parts, _TORCHAUDIO])


def _settings(encoder: type[Encoder]) -> str:
    lines = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for key, field in encoder.config_class.model_fields.items():
        if key == "model" and encoder.name in _WITHOUT_MODEL:
            continue
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{key}` | {_written(field.default)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _mapping(values: dict[str, Any]) -> str:
    return yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=1000).strip()


def _written(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True).removesuffix("...\n").strip()


if __name__ == "__main__":
    print(reference(), end="")
