"""What the methods share. These names are for authors of other methods."""

from linlight.functional.update_rule import UpdateRule as UpdateRule
from linlight.methods.base.batch import as_batch as as_batch
from linlight.methods.base.by_hand import ByHandModel as ByHandModel
from linlight.methods.base.model import LinearModel as LinearModel
from linlight.methods.base.optim import ManualSGD as ManualSGD
