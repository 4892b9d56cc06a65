"""The other sides of the throughput benchmark: Celery tasks as users write them.

    python -m benchmarks.rivals pipeline|pipeline_tuned|competent BROKER_URL CHECKPOINT

`pipeline` is what a tutorial shows: transformers' zero-shot pipeline in a task, and the defaults of
Celery and torch. `pipeline_tuned` is the same with one torch thread a process; otherwise each of
the processes starts a thread a core, and these wait for each other. `competent` is a careful
hand-written task: one thread a process too, text features cached, no gradients. All run in float32,
one image a task, in Celery's default pool of a process a core, with a model in each process. They
read the label set from the file `labels.json` in the checkpoint's folder.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from celery import Celery

from moderation.encoders.cores import usable

NAMES = ("pipeline", "pipeline_tuned", "competent")


def create_rival_app(name: str, broker_url: str) -> Celery:
    """Returns the Celery app of one side, set as a careful user would."""
    # Celery's own backend subscribes for each task that is sent, on one connection that all threads
    # share. Ours looks for results, as our host does.
    backend = f"moderation.queue.celery_app:PolledRedisBackend+{broker_url}"
    app = Celery(name, broker=broker_url, backend=backend, set_as_current=False)
    app.conf.update(
        task_default_queue=f"rival-{name}",
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=usable(),
        result_expires=600,
        broker_connection_retry_on_startup=True,
    )
    return app


def _label_set(checkpoint: Path) -> tuple[str, list[str]]:
    """Returns the template and the prompts, one a label."""
    content = json.loads((checkpoint / "labels.json").read_text())
    return content["template"], content["prompts"]


@cache
def _clip_pipeline(checkpoint: Path) -> Any:
    from transformers import pipeline

    return pipeline("zero-shot-image-classification", model=str(checkpoint), device="cpu")


def pipeline_scores(path: str, checkpoint: Path) -> dict[str, float]:
    """Returns the score of each prompt, by transformers' pipeline."""
    template, prompts = _label_set(checkpoint)
    found = _clip_pipeline(checkpoint)(path, candidate_labels=prompts, hypothesis_template=template)
    return {one["label"]: float(one["score"]) for one in found}


@cache
def _loaded_clip(checkpoint: Path) -> tuple[Any, Any, Any]:
    """Returns the model, its image processor, and (k, d) text features."""
    import torch
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

    template, prompts = _label_set(checkpoint)
    model: Any = CLIPModel.from_pretrained(checkpoint)
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    texts = [template.replace("{}", prompt) for prompt in prompts]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        features = model.get_text_features(**tokens).pooler_output
    processor = AutoImageProcessor.from_pretrained(checkpoint)  # type: ignore[no-untyped-call]
    return model, processor, features / features.norm(dim=-1, keepdim=True)


def competent_scores(path: str, checkpoint: Path) -> dict[str, float]:
    """Returns the score of each prompt, by a forward of the image alone."""
    import torch
    from PIL import Image

    model, processor, texts = _loaded_clip(checkpoint)
    with Image.open(path) as image:
        pixels = processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        feature = model.get_image_features(pixel_values=pixels).pooler_output
        feature = feature / feature.norm(dim=-1, keepdim=True)
        scores = (model.logit_scale.exp() * feature @ texts.T).softmax(dim=-1)[0]
    prompts = _label_set(checkpoint)[1]
    return dict(zip(prompts, scores.tolist(), strict=True))


def task_name(name: str) -> str:
    """Returns what the task of a side is called."""
    return f"rivals.{name}"


def main() -> None:
    """Serves one side's queue until it is stopped."""
    name, broker_url, checkpoint = sys.argv[1:]
    app = create_rival_app(name, broker_url)
    scores = competent_scores if name == "competent" else pipeline_scores

    def classify(path: str) -> dict[str, float]:
        if name != "pipeline":
            import torch

            torch.set_num_threads(1)
        return scores(path, Path(checkpoint))

    app.task(classify, name=task_name(name))
    app.worker_main(["worker", "--loglevel=WARNING", f"--hostname={name}@%h"])


if __name__ == "__main__":
    main()
