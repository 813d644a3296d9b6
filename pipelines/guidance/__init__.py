"""How the predictions of a run's rows become one prediction an image. Rules are values of the recipe; one a file."""

from pipelines.guidance.rules import ClassifierFree, Projected, Rule

__all__ = ["ClassifierFree", "Projected", "Rule"]
