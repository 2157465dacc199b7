"""Which vectors are most like one: cosine, page by page over a drawer. Knows no store and no key."""

import heapq
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from agentfield_rt.plane.memory.sealing import SealedVector
from agentfield_rt.plane.memory.writes import Row

_FLOAT = np.dtype("<f4")


def packed(embedding: Iterable[float]) -> bytes:
    """A vector as it is sealed: 4 bytes for each number.

    Raises:
        ValueError: one is no number, or too large for 4 bytes.
    """
    with np.errstate(over="ignore"):  # it is infinite then
        vector = np.asarray(list(embedding), dtype=_FLOAT)
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise ValueError("not a vector of finite numbers")
    return vector.tobytes()


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """A vector and how like the wanted one it is; ordered by that."""

    score: float
    key: str
    row: Row
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for: the `top_k` most like `embedding` whose metadata has all of `filters`."""

    embedding: bytes
    top_k: int
    filters: Mapping[str, Any]


def search(pages: Iterable[list[Row]], unseal: Callable[[Row], SealedVector], wanted: Search) -> list[Found]:
    """The most alike first. No more than a page is unsealed at a time."""
    direction = _direction(np.frombuffer(wanted.embedding, dtype=_FLOAT).astype(np.float64))
    best: list[Found] = []
    for page in pages:
        few = [(row, vector) for row in page if _fits(vector := unseal(row), wanted)]
        if not few:
            continue
        matrix = np.frombuffer(b"".join(vector.embedding for _, vector in few), dtype=_FLOAT)
        scores = _scores(matrix.reshape(len(few), -1), direction)
        for (row, vector), score in zip(few, scores, strict=True):
            if len(best) < wanted.top_k:
                heapq.heappush(best, _found(row, vector, score))
            elif score > best[0].score:
                heapq.heapreplace(best, _found(row, vector, score))
    return sorted(best, key=lambda found: (-found.score, found.key))


def _fits(vector: SealedVector, wanted: Search) -> bool:
    if len(vector.embedding) != len(wanted.embedding):
        return False
    if not wanted.filters:
        return True
    metadata = _metadata(vector)
    return all(name in metadata and metadata[name] == value for name, value in wanted.filters.items())


def _found(row: Row, vector: SealedVector, score: float) -> Found:
    return Found(score, vector.key, row, _metadata(vector))


def _metadata(vector: SealedVector) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(vector.metadata))


def _direction(vector: "np.ndarray[Any, np.dtype[np.float64]]") -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Of length 1; nothing is like a vector of zeros."""
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector


def _scores(
    matrix: "np.ndarray[Any, np.dtype[np.float32]]", direction: "np.ndarray[Any, np.dtype[np.float64]]"
) -> list[float]:
    wide = matrix.astype(np.float64)  # squares of the largest floats of 4 bytes overflow them
    lengths = np.linalg.norm(wide, axis=1)
    lengths[lengths == 0] = 1
    scores = np.clip(wide @ direction / lengths, -1.0, 1.0)
    return [float(score) for score in scores]
