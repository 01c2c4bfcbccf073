"""`config.yaml`, from which a run can be repeated."""

from enum import Enum
from pathlib import Path

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

# Lightning's Timer has one for a default, which PyYAML would not write.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, one: dumper.represent_str(str(one.value)))


class SaveConfig(SaveConfigCallback):
    """Writes `config.yaml`, from which the run can be repeated, into the run's folder."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Called once, on rank 0."""
        path = Path(trainer.default_root_dir) / "config.yaml"
        self.parser.save(self.config, path, skip_none=False, overwrite=True, multifile=False)
