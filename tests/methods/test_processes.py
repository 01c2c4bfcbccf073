"""One, two or four processes, on one node or two, walk the same path."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from every_method import run

from linlight.methods.base import LinearModel
from linlight.methods.gradient_descent import GradientDescent

ROOT = Path(__file__).parents[2]
# Sums over the rows are added in another order, so float64 differs in its last digits; nothing more does.
NEAR_ROUNDING = 1e-13


def torchrun(folder: Path, nodes: int, devices: int, script: Path) -> Any:
    """Runs a script as a cluster would: one torchrun a node."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = folder / "out.json"
    processes = []
    for node in range(nodes):
        command = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", f"--node_rank={node}"]
        command += [f"--nproc_per_node={devices}", "--master_addr=127.0.0.1", f"--master_port={port}"]
        command += [str(script), str(out), str(nodes), str(devices)]
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)])
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        with (folder / f"log{node}").open("w") as log:
            processes.append(
                subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
            )
    try:
        failed = any(process.wait(timeout=120) for process in processes)
    finally:
        for process in processes:
            process.kill()
    assert not failed, "\n".join((folder / f"log{node}").read_text() for node in range(nodes))
    return json.loads(out.read_text())


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for key in sorted(value):
            yield from numbers(value[key])
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, str):  # a table of predictions
        yield from (float(word) for line in value.splitlines()[1:] for word in line.split(","))
    else:
        yield value


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("alone"), 1, 1)


@pytest.mark.parametrize(("nodes", "devices"), [(2, 1), (1, 4)])
@pytest.mark.filterwarnings("default")
def test_the_number_of_processes_changes_nothing(
    nodes: int, devices: int, alone: dict[str, Any], tmp_path: Path
) -> None:
    together = torchrun(tmp_path, nodes, devices, Path(__file__).with_name("every_method.py"))
    assert together.keys() == alone.keys()
    for case, expected in alone.items():
        for key, values in expected.items():
            assert list(numbers(together[case][key])) == pytest.approx(
                list(numbers(values)), rel=NEAR_ROUNDING, abs=1e-15
            ), f"{case}: {key}"


DRIFTING = """
import json
import sys
import torch
from pathlib import Path
from test_processes import Drifting
from lightning.pytorch import Trainer
from linlight import XYDataModule

trainer = Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False,
                  use_distributed_sampler=False, enable_progress_bar=False, max_epochs=1)
try:
    trainer.fit(Drifting(), XYDataModule())
except RuntimeError as error:
    if trainer.global_rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(str(error)))
# Left to the end of the interpreter, threads of gloo now and then abort it.
torch.distributed.destroy_process_group()
"""


class Drifting(GradientDescent):
    """Forgets to add its sums up over the processes."""

    def sum_over_processes(self, *tensors: Any) -> Any:
        return tensors


def test_replicas_that_drift_apart_are_noticed(tmp_path: Path) -> None:
    assert issubclass(Drifting, LinearModel)
    (tmp_path / "drifting.py").write_text(DRIFTING)
    message = torchrun(tmp_path, 1, 2, tmp_path / "drifting.py")
    assert "the processes hold different weights after epoch 0" in message
