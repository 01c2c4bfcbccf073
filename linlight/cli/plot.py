"""`linlight plot`: the pictures of a finished run."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from linlight.cli.parsing import command_parser, parse
from linlight.errors import InputError
from linlight.methods import LinearModel, find_method
from linlight.runs.run import load
from linlight.runs.run_page import write_run_page
from linlight.training import checkpointing as checkpoints
from linlight.training.arguments import has_class
from linlight.training.folder import folder_name

OWN = {
    "model": "A method",
    "criterion": "A criterion",
    "optimizer": "An optimizer",
    "lr_scheduler": "A scheduler",
}
"""Options that name what a checkpoint's word alone does not import."""


def options() -> ArgumentParser:
    """The parser of `linlight plot`."""
    parser = command_parser("plot")
    help = "The run's folder, lightning_logs/METHOD/version_N."
    parser.add_argument("folder", type=str, nargs="+", help=help)
    parser.add_argument("--to", type=str | None, default=None, help="Default: pictures in that folder.")
    html = "Write run.html too, a page on which w and b are moved by hand."
    parser.add_argument("--html", nargs="?", const=True, type=bool, default=False, help=html)
    for name, what in OWN.items():
        help = f"{what} of your own that the run was trained with, MODULE.CLASS."
        parser.add_argument(f"--{name}", type=str | None, default=None, help=help)
    return parser


def run(args: Sequence[str]) -> None:
    """Runs `linlight plot`."""
    config = parse(options(), args[1:])
    folder, *more = config.folder
    if more:
        raise InputError(f"plot draws one run at a time: give one folder, not {len(more) + 1}")
    run = load(folder, method=_method(folder, {name: path for name in OWN if (path := config[name])}))
    page = Path(config.to or folder) / "run.html"
    if config.html:
        write_run_page(run, page)
    files = [*run.save_pictures(config.to), *([page] if config.html else [])]
    for file in files:
        if file.suffix in (".png", ".html"):
            print(folder_name(file))
    print(f"run: {folder_name(folder)}")


def _method(folder: str, own: dict[str, str]) -> type[LinearModel] | LinearModel | None:
    """The method of a run, with the parts that are the user's own.

    Args:
        folder: The run's folder.
        own: The paths of classes of the user's own, which a run alone does not have imported.
    """
    method = find_method(own["model"]) if "model" in own else None
    parts = own.keys() - {"model"}
    path = Path(folder, "checkpoints", "last.ckpt")
    if not parts or not path.exists():
        return method
    checkpoint = checkpoints.load(path)
    method = method or checkpoints.method_of(path, checkpoint)
    settings = checkpoints.settings_of(path, checkpoint, method, without=parts)
    for name in parts:
        kept = checkpoint["hyper_parameters"].get(name)
        arguments = kept.get("init_args", {}) if isinstance(kept, dict) else {}
        settings[name] = {"class_path": own[name], "init_args": {} if has_class(arguments) else arguments}
    try:
        return method(**settings)
    except (AttributeError, ImportError, TypeError, ValueError) as error:
        raise InputError(
            f"{method.__name__} cannot be made with {', '.join(own.values())}: {error}"
        ) from error
