"""How the predictions of a run's rows become one prediction an image; one rule a file."""

from pipelines.guidance.classifier_free import ClassifierFree

__all__ = ["ClassifierFree"]
