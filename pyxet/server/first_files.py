"""The first files of a new repository, as on the Hub: a ``.gitattributes`` that makes common binary formats LFS files."""

from __future__ import annotations

from typing import Final

from pyxet.types import RepoKind

_MODELS: Final = (
    "*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* "
    "*.mlmodel *.model *.msgpack *.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors "
    "saved_model/**/* *.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*"
)
_DATA: Final = "*.avro *.lz4 *.mds"
_MEDIA: Final = (
    "*.pcm *.sam *.raw *.aac *.flac *.mp3 *.ogg *.wav *.bmp *.gif *.png *.tiff *.jpg *.jpeg *.webp *.mp4 *.webm"
)


def first_files(kind: RepoKind) -> dict[str, bytes]:
    """Names and content of the files in a new repository of a kind; in datasets, audio, images and video are LFS files, too."""
    patterns = _MODELS
    if kind == "datasets":
        patterns += f" {_DATA} {_MEDIA}"
    lines = (f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in patterns.split())
    return {".gitattributes": "".join(lines).encode()}
