"""Lists the registered models, their published facts, and the state of their files."""

from transforms.models.registry import (
    RegisteredModel,
    graph_path,
    hash_problem,
    registered_models,
    registry_notes,
)

_HEADER = ("model", "architecture", "embedding", "mAP", "licence", "here")


def models_table() -> list[str]:
    """Returns the lines of the table. Reads the models' files to check their hashes."""
    models = registered_models().values()
    rows = [_HEADER, *(_row(model) for model in models)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    about = [f"{model.name}: {model.description}" for model in models]
    how = "to get a model that is not here, run 'fsdsinet models fetch NAME'"
    cite = [f"cite: {text}" for text in dict.fromkeys(m.citation for m in models)]
    return [*lines, "", *about, "", how, *registry_notes(), *cite]


def _row(model: RegisteredModel) -> tuple[str, ...]:
    precision = "-"
    if model.published_map is not None:
        precision = f"{model.published_map:.3f} ± {model.published_map_std or 0:.3f}"
    return (
        model.name,
        model.architecture,
        str(model.embedding_size),
        precision,
        model.licence,
        _file_state(model),
    )


def _file_state(model: RegisteredModel) -> str:
    """Says whether the file of a model is here, and whether its hash is right."""
    path = graph_path(model)
    is_bundled = model.bundled_file is not None
    if not path.is_file():
        return f"MISSING: {path}" if is_bundled else "no"
    try:
        problem = hash_problem(model, path)
    except OSError as error:
        return f"not verified ({error.strerror}): {path}"
    if problem:
        return f"WRONG FILE, {problem}: {path}"
    return f"{'bundled' if is_bundled else 'fetched'}, hash right: {path}"
