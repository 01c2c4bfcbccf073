"""The folder of a run that is trained from Python."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from linlight.training.folder import folder_name, new_folder


class RunFolder(Callback):
    """Chooses the folder of a run's files: its logger's, or a fresh `lightning_logs/METHOD/version_N`.

    Args:
        path: The folder, where it is already known.
        quiet: Whether to print nothing; else the last line names a folder that was chosen here.

    Attributes:
        path: The folder; of a fit or a prediction that has begun.
    """

    def __init__(self, path: Path | None = None, quiet: bool = False) -> None:
        self.path = path
        self._is_given = path is not None
        self._quiet = quiet

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Chooses it, the same on all processes; predictions go beside the training that came before."""
        if stage != "fit" and (stage != "predict" or self.path is not None) and not self._is_given:
            return
        if not self._is_given:
            logger = trainer.logger
            if isinstance(logger, CSVLogger | TensorBoardLogger) and logger.log_dir is not None:
                self.path = Path(logger.log_dir)
            elif trainer.is_global_zero:
                root = Path(trainer.default_root_dir) / "lightning_logs"
                self.path = new_folder(root / type(pl_module).__name__)
        self.path = trainer.strategy.broadcast(self.path)

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Prints it."""
        if stage in ("fit", "predict") and trainer.is_global_zero and not (self._is_given or self._quiet):
            assert self.path is not None
            print(f"run: {folder_name(self.path)}")


def run_folder(trainer: Trainer) -> Path:
    """The folder that a run's files go to; without a `RunFolder`, the Trainer's `default_root_dir`."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    chosen = next((one.path for one in callbacks if isinstance(one, RunFolder)), None)
    return Path(trainer.default_root_dir) if chosen is None else chosen
