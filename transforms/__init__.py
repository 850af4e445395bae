"""Steps that turn audio into class activations and embeddings with FSD-SINet models.

This list is the public API. The steps know nothing of command lines, configuration
files or particular corpora. A name is imported when it is first used, because Beam
takes most of a second to load.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.audio import DecodeAudio as DecodeAudio
    from transforms.elements import AudioInfo as AudioInfo
    from transforms.elements import Clip as Clip
    from transforms.elements import ClipError as ClipError
    from transforms.elements import EmbedResult as EmbedResult
    from transforms.elements import Failure as Failure
    from transforms.elements import LabelledPrediction as LabelledPrediction
    from transforms.elements import Prediction as Prediction
    from transforms.elements import Shard as Shard
    from transforms.elements import ShardSummary as ShardSummary
    from transforms.embed import EmbedAudio as EmbedAudio
    from transforms.engines.contract import Engine as Engine
    from transforms.engines.contract import ModelSpec as ModelSpec
    from transforms.engines.registered import register_engine as register_engine
    from transforms.errors import ModelError as ModelError
    from transforms.errors import UserError as UserError
    from transforms.features import ComputePatches as ComputePatches
    from transforms.front_end.patches import PatchSpec as PatchSpec
    from transforms.inference import RunModels as RunModels
    from transforms.manifest import ReadManifest as ReadManifest
    from transforms.manifest import write_plan as write_plan
    from transforms.models.engine_choice import choose_engines as choose_engines
    from transforms.models.loading import load_model as load_model
    from transforms.models.loading import load_models as load_models
    from transforms.parquet import CommitShard as CommitShard
    from transforms.schemas import DatasetSpec as DatasetSpec
    from transforms.tagger import Tagger as Tagger

# Public names, by module.
_NAMES = {
    "audio": "DecodeAudio",
    "elements": "AudioInfo Clip ClipError EmbedResult Failure LabelledPrediction "
    "Prediction Shard ShardSummary",
    "embed": "EmbedAudio",
    "engines.contract": "Engine ModelSpec",
    "engines.registered": "register_engine",
    "errors": "ModelError UserError",
    "features": "ComputePatches",
    "front_end.patches": "PatchSpec",
    "inference": "RunModels",
    "manifest": "ReadManifest write_plan",
    "models.engine_choice": "choose_engines",
    "models.loading": "load_model load_models",
    "parquet": "CommitShard",
    "schemas": "DatasetSpec",
    "tagger": "Tagger",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"transforms.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
