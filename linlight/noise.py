"""Hides messages of Lightning's that are for its own developers, or sell something."""

import logging
import warnings

# https://github.com/Lightning-AI/pytorch-lightning/issues/21326
warnings.filterwarnings("ignore", message=r".*LeafSpec.*is deprecated", category=FutureWarning)
# Lightning asks for an empty list where there is no validation, and warns of it.
warnings.filterwarnings("ignore", message="Total length of `list` across ranks is zero")
logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
    lambda record: "Tip: For seamless cloud" not in record.getMessage()
)
