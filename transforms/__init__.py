"""Steps that turn audio into class activations and embeddings with FSD-SINet models.

This list is the public API. The steps know nothing of command lines, configuration
files or particular corpora. A name is imported when it is first used, because Beam
takes most of a second to load.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.audio import (
        DecodeAudio,
    )
    from transforms.elements import (
        AudioInfo,
        Clip,
        ClipError,
        EmbedResult,
        Failure,
        LabelledPrediction,
        Prediction,
        Shard,
        ShardSummary,
    )
    from transforms.embed import (
        EmbedAudio,
    )
    from transforms.engines.contract import (
        Engine,
        ModelSpec,
    )
    from transforms.engines.registered import (
        register_engine,
    )
    from transforms.errors import (
        ModelError,
        UserError,
    )
    from transforms.features import (
        ComputePatches,
    )
    from transforms.front_end.patches import (
        PatchSpec,
    )
    from transforms.inference import (
        RunModels,
    )
    from transforms.manifest import (
        ReadManifest,
        write_plan,
    )
    from transforms.models.engine_choice import (
        choose_engines,
    )
    from transforms.models.loading import (
        load_model,
        load_models,
    )
    from transforms.parquet import (
        CommitShard,
    )
    from transforms.schemas import (
        DatasetSpec,
    )
    from transforms.tagger import (
        Tagger,
    )

_MODULES = {
    "AudioInfo": "transforms.elements",
    "Clip": "transforms.elements",
    "ClipError": "transforms.elements",
    "CommitShard": "transforms.parquet",
    "ComputePatches": "transforms.features",
    "DatasetSpec": "transforms.schemas",
    "DecodeAudio": "transforms.audio",
    "EmbedAudio": "transforms.embed",
    "EmbedResult": "transforms.elements",
    "Engine": "transforms.engines.contract",
    "Failure": "transforms.elements",
    "LabelledPrediction": "transforms.elements",
    "ModelError": "transforms.errors",
    "ModelSpec": "transforms.engines.contract",
    "PatchSpec": "transforms.front_end.patches",
    "Prediction": "transforms.elements",
    "ReadManifest": "transforms.manifest",
    "RunModels": "transforms.inference",
    "Shard": "transforms.elements",
    "ShardSummary": "transforms.elements",
    "Tagger": "transforms.tagger",
    "UserError": "transforms.errors",
    "choose_engines": "transforms.models.engine_choice",
    "load_model": "transforms.models.loading",
    "load_models": "transforms.models.loading",
    "register_engine": "transforms.engines.registered",
    "write_plan": "transforms.manifest",
}

__all__ = [
    "AudioInfo",
    "Clip",
    "ClipError",
    "CommitShard",
    "ComputePatches",
    "DatasetSpec",
    "DecodeAudio",
    "EmbedAudio",
    "EmbedResult",
    "Engine",
    "Failure",
    "LabelledPrediction",
    "ModelError",
    "ModelSpec",
    "PatchSpec",
    "Prediction",
    "ReadManifest",
    "RunModels",
    "Shard",
    "ShardSummary",
    "Tagger",
    "UserError",
    "choose_engines",
    "load_model",
    "load_models",
    "register_engine",
    "write_plan",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
