"""Tiny random models of transformers, one folder for each family, as `save_pretrained` writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
IMAGE = {**SMALL, "image_size": 32, "patch_size": 8}
WORDS = ["a", "dog", "cat", "bark", "##s", "loud", "##ly", "and", ",", ".", "un", "##known"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
CONV = {
    "conv_dim": (8, 8),
    "conv_kernel": (10, 8),
    "conv_stride": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}


def tokenizer(longest: int = 8) -> Any:
    """BERT's kind of tokenizer over a dozen words."""
    made = Tokenizer(models.WordPiece({p: i for i, p in enumerate(PIECES)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=longest,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "attention_mask"],
    )


def pixels(kind: str = "ViT") -> Any:
    size = {"shortest_edge": 32} if kind in ("CLIP", "VideoMAE", "Bit") else {"height": 32, "width": 32}
    crop = {"crop_size": {"height": 32, "width": 32}} if kind in ("CLIP", "VideoMAE", "Bit") else {}
    return getattr(hf, f"{kind}ImageProcessorPil")(size=size, **crop)


BERT = {**SMALL, "vocab_size": len(PIECES), "max_position_embeddings": 32}
CLIP_TEXT = {**BERT, "projection_dim": 12, "eos_token_id": 3, "bos_token_id": 2, "pad_token_id": 0}


def _clap() -> list[Any]:
    audio = {
        "window_size": 2,
        "num_mel_bins": 32,
        "spec_size": 64,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "num_classes": 2,
        "patch_embeds_hidden_size": 8,
        "hidden_size": 32,
        "projection_dim": 12,
        "depths": [1, 1, 1],
        "num_attention_heads": [1, 1, 1],
        "num_hidden_layers": 3,
    }
    text = {**BERT, "projection_dim": 12}
    config = hf.ClapConfig(text_config=text, audio_config=audio, projection_dim=12)
    extractor = hf.ClapFeatureExtractor(
        feature_size=32,
        sampling_rate=16_000,
        hop_length=160,
        fft_window_size=1024,
        frequency_max=8000,
        max_length_s=1,
        truncation="rand_trunc",
    )
    return [hf.ClapModel(config), extractor, tokenizer()]


def _pe_audio() -> list[Any]:
    dac = {
        "encoder_hidden_size": 4,
        "downsampling_ratios": [4, 40],
        "decoder_hidden_size": 8,
        "n_codebooks": 1,
        "codebook_size": 4,
        "codebook_dim": 2,
        "hidden_size": 16,
        "sampling_rate": 16_000,
    }
    audio = {**SMALL, "num_key_value_heads": 2, "head_dim": 8, "dac_config": dac}
    text = {"model_type": "modernbert", **BERT, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    text |= {"cls_token_id": 2, "sep_token_id": 3}
    config = hf.PeAudioConfig(audio_config=audio, text_config=text)
    extractor = hf.PeAudioFeatureExtractor(sampling_rate=16_000, hop_length=160)
    return [hf.PeAudioModel(config), extractor, tokenizer()]


FAMILIES: dict[str, Callable[[], list[Any]]] = {
    "ast": lambda: [
        hf.ASTModel(hf.ASTConfig(**SMALL, max_length=512, num_mel_bins=32, patch_size=8, time_stride=4)),
        hf.ASTFeatureExtractor(max_length=512, num_mel_bins=32),
    ],
    "wav2vec2": lambda: [
        hf.Wav2Vec2Model(hf.Wav2Vec2Config(**SMALL, **CONV)),
        hf.Wav2Vec2FeatureExtractor(),
    ],
    "hubert": lambda: [hf.HubertModel(hf.HubertConfig(**SMALL, **CONV)), hf.Wav2Vec2FeatureExtractor()],
    "whisper": lambda: [
        hf.WhisperModel(
            hf.WhisperConfig(
                d_model=16,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=16,
                decoder_ffn_dim=16,
                num_mel_bins=16,
                vocab_size=8,
                max_source_positions=250,
                max_target_positions=4,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
                decoder_start_token_id=1,
            )
        ),
        hf.WhisperFeatureExtractor(feature_size=16, chunk_length=5),
    ],
    "clap": _clap,
    "pe_audio": _pe_audio,
    "vit": lambda: [hf.ViTModel(hf.ViTConfig(**IMAGE)), pixels()],
    "dinov2": lambda: [hf.Dinov2Model(hf.Dinov2Config(**IMAGE)), pixels("Bit")],
    "dinov3": lambda: [
        hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**IMAGE, num_register_tokens=2)),
        pixels(),
    ],
    "resnet": lambda: [
        hf.ResNetModel(
            hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        ),
        pixels(),
    ],
    "clip": lambda: [
        hf.CLIPModel(
            hf.CLIPConfig(
                text_config=CLIP_TEXT, vision_config={**IMAGE, "projection_dim": 12}, projection_dim=12
            )
        ),
        pixels("CLIP"),
        tokenizer(16),
    ],
    "siglip": lambda: [
        hf.SiglipModel(
            hf.SiglipConfig(
                text_config={**BERT, "max_position_embeddings": 16, "bos_token_id": 2, "eos_token_id": 3},
                vision_config=IMAGE,
            )
        ),
        pixels("Siglip"),
        tokenizer(16),
    ],
    "videomae": lambda: [
        hf.VideoMAEModel(hf.VideoMAEConfig(**IMAGE, num_frames=4, tubelet_size=2)),
        pixels("VideoMAE"),
    ],
    "bert": lambda: [hf.BertModel(hf.BertConfig(**BERT)), tokenizer()],
    "minilm": lambda: [hf.BertModel(hf.BertConfig(**BERT)), tokenizer()],
}


def save(family: str, folder: Path) -> Path:
    """Save a tiny model of a family with what prepares its inputs."""
    hf.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    for part in FAMILIES[family]():
        if isinstance(part, torch.nn.Module):
            for weight in part.parameters():  # as they come, so small that inputs hardly matter
                if weight.ndim > 1:
                    torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        part.save_pretrained(folder)
    if family == "minilm":
        modules = [
            {"type": f"sentence_transformers.models.{t}"} for t in ("Transformer", "Pooling", "Normalize")
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    if family == "dinov3":
        path = folder / "preprocessor_config.json"
        values = json.loads(path.read_text())
        path.write_text(json.dumps({**values, "image_processor_type": "DINOv3ViTImageProcessorFast"}))
    return folder
