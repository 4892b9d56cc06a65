"""Labelled pictures and systems -> precision, recall and the like, with intervals.

>>> from audit.evaluation import EvaluatedLabel, EvaluatedSystem, LabelledImages, evaluate
>>> images = LabelledImages.of_names(["a.jpg", "b.jpg"], [["handgun"], ["pass"]])
>>> labels = [EvaluatedLabel("handgun", "weapons/firearms", "block", threshold=0.5)]
>>> system = EvaluatedSystem.of_scores("mine", labels, [[0.9], [0.2]])
>>> evaluate(images, [system]).figures[0].decisions[0].recall.value
1.0
"""

from audit.evaluation.evaluated_system import EvaluatedLabel, EvaluatedSystem
from audit.evaluation.evaluation import Evaluation, evaluate
from audit.evaluation.labelled_images import LabelledImages

__all__ = ["EvaluatedLabel", "EvaluatedSystem", "Evaluation", "LabelledImages", "evaluate"]
