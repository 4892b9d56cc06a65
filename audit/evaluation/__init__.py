"""Labelled pictures and systems -> precision, recall and the like, with intervals.

>>> from audit.evaluation import EvaluatedSystem, LabelledImages, SystemLabel, evaluate
>>> images = LabelledImages.of_names(["a.jpg", "b.jpg"], [["handgun"], ["pass"]])
>>> labels = [SystemLabel("handgun", "block", "weapons/firearms", threshold=0.5)]
>>> system = EvaluatedSystem.of_scores("mine", labels, [[0.9], [0.2]])
>>> evaluate(images, [system]).figures[0].decisions[0].recall.value
1.0
"""

from audit.evaluation.evaluated_system import EvaluatedSystem
from audit.evaluation.evaluation import Evaluation, evaluate
from audit.evaluation.labelled_images import LabelledImages
from audit.metrics.truth import SystemLabel

__all__ = ["EvaluatedSystem", "Evaluation", "LabelledImages", "SystemLabel", "evaluate"]
