"""Reusable Beam steps: from audio manifests to activations and embeddings.

They know nothing of command lines, configuration files or particular corpora.
"""

from transforms.audio import DecodeAudio
from transforms.elements import (
    AudioInfo,
    Clip,
    ClipError,
    Failure,
    PlannedShard,
    Prediction,
    Shard,
    ShardSummary,
)
from transforms.engines import ENGINES, Engine, ModelSpec
from transforms.features import ComputePatches, PatchSpec
from transforms.inference import RunModels
from transforms.manifest import Lanes, ReadManifest
from transforms.parquet import CommitShard
from transforms.permit import AdmitShards, Permit
from transforms.schemas import DatasetSpec

__all__ = [
    "ENGINES",
    "AdmitShards",
    "AudioInfo",
    "Clip",
    "ClipError",
    "CommitShard",
    "ComputePatches",
    "DatasetSpec",
    "DecodeAudio",
    "Engine",
    "Failure",
    "Lanes",
    "ModelSpec",
    "PatchSpec",
    "Permit",
    "PlannedShard",
    "Prediction",
    "ReadManifest",
    "RunModels",
    "Shard",
    "ShardSummary",
]
