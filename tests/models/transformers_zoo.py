"""Architectures of transformers from tiny configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.models.case import Case, Made
from tests.models.transformers_builders import TEXT, left_padded, pixels, seq2seq, stepping, text
from tests.models.transformers_mixed import AUDIO, MULTIMODAL, SERIES
from tests.models.transformers_text import DECODERS, ENCODERS, OTHER_ENCODERS, SEQ2SEQS, STEPPING
from tests.models.transformers_vision import OTHER_VISION, VISIONS

# What reads a value of an input in Python, or has as many results as the input says.
REFUSED: dict[str, str] = {
    "flaubert": "aten::item needs a value that depends on example input",
    "fsmt": "aten::is_nonzero needs a value that depends on example input",
    "led": "aten::item needs a value that depends on example input",
    "longformer": "aten::item needs a value that depends on example input",
    "opt step": "aten::item needs a value that depends on 'state2'",
    "superpoint": "aten::nonzero has an output shape that depends on data",
    "vilt": "aten::item needs a value that depends on example input",
    "xlm": "aten::item needs a value that depends on example input",
}


def _case(family: str, name: str, make: Callable[..., Made], *args: Any, **more: Any) -> Case:
    return Case("transformers", family, name, lambda: make(*args, **more), REFUSED.get(name))


CASES = (
    *(_case("encoder", kind, text, kind, {**TEXT, **more}) for kind, more in ENCODERS.items()),
    *(_case("encoder", kind, make) for kind, make in OTHER_ENCODERS.items()),
    *(
        _case("decoder", kind, left_padded, kind, {**TEXT, **more})
        for kind, more in DECODERS.items()
    ),
    *(
        _case("decoder step", f"{kind} step", stepping, kind, {**TEXT, **DECODERS[kind]})
        for kind in STEPPING
    ),
    *(_case("encoder-decoder", kind, seq2seq, kind, config) for kind, config in SEQ2SEQS.items()),
    *(
        _case("vision", kind, pixels, kind, config, model, **more)
        for kind, (config, model, more) in VISIONS.items()
    ),
    *(
        _case(family, kind, make)
        for family, makers in (
            ("vision", OTHER_VISION),
            ("audio", AUDIO),
            ("multimodal", MULTIMODAL),
            ("series", SERIES),
        )
        for kind, make in makers.items()
    ),
)
