"""The private names of other packages that ours uses: each with its reason, and here first on an upgrade."""

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import jsonargparse
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.strategies.ddp import DDPStrategy

import linlight

ROOT = Path(linlight.__file__).parent
USED: dict[str, tuple[object, str]] = {
    "_trainer": (LightningModule(), "`trainer` raises where there is none yet"),
    "_start_method": (DDPStrategy(), "of a strategy object; a name says it by itself"),
    "_actions": (argparse.ArgumentParser(), "argparse lists its options nowhere else"),
    "_data_source": (
        Trainer(logger=False, enable_checkpointing=False).fit_loop,
        "the loader asked for before the loop asks",
    ),
    "_typehint": (
        jsonargparse.ArgumentParser().add_argument("--x", type=int | None),
        "the type of an option, where it is more than a function of a text",
    ),
    "_batch_arg_name": (BatchSizeFinder(), "what it was told to change is kept nowhere else"),
    "_get_default_store": (torch.distributed.distributed_c10d, "what the processes found each other by"),
}
DOCUMENTED = {"_exit", "_replace"}
"""Of Python's own: public in its documentation, whatever their first letter."""
OVERRIDDEN = {
    "_parse_ckpt_path": "would let a checkpoint override what was typed (#21455)",
    "_run_subcommand": "would run the command before all that its options name is made",
}


def trees() -> Iterator[ast.Module]:
    for path in sorted(ROOT.rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def our_own() -> set[str]:
    names: set[str] = set()
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return names


def test_every_foreign_private_name_has_a_reason() -> None:
    own, found = our_own(), set()
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
                found.add(node.attr)
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
                name = str(getattr(node.args[1], "value", ""))
                if is_private(name) and name not in own:
                    found.add(name)
            elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("linlight"):
                found |= {one.name for one in node.names if is_private(one.name)}
    assert found - DOCUMENTED == set(USED)


@pytest.mark.parametrize("name", USED)
def test_it_is_still_there(name: str) -> None:
    owner, _ = USED[name]
    if isinstance(owner, FunctionType):
        assert name in owner.__code__.co_names or any(
            name in method.__code__.co_names
            for method in vars(LightningCLI).values()
            if hasattr(method, "__code__")
        )
        return
    assert hasattr(owner, name)


def test_what_is_overridden_is_still_called() -> None:
    inherited = {name for name in vars(LightningCLI) if is_private(name)}
    nodes = (node for tree in trees() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    classes = [node for node in nodes if node.name in ("MethodCLI", "Cli")]
    defined = {node.name for cls in classes for node in cls.body if isinstance(node, ast.FunctionDef)}
    assert defined & inherited == set(OVERRIDDEN)


def test_jsonargparse_is_an_argparse() -> None:
    assert issubclass(jsonargparse.ArgumentParser, argparse.ArgumentParser)
