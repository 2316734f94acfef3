"""Every model of the sweep by name."""

from __future__ import annotations

from tests.models import timm_zoo, torchvision_zoo, transformers_zoo
from tests.models.case import Case

GROUPS = ("timm", "transformers", "torchvision")
CASES: dict[str, Case] = {
    f"{case.group}/{case.name}": case
    for case in (*timm_zoo.CASES, *transformers_zoo.CASES, *torchvision_zoo.CASES)
}
