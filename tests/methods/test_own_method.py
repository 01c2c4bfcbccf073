"""Methods of the user's own, as `docs/lightning.md` has them written: an `update`, or a `training_step`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import fit, quiet_trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import Tensor

from linlight import GradientDescent, InputError, XYDataModule
from linlight.methods.base import ByHandModel, ManualSGD
from linlight.methods.base.batch import Batch

pytestmark = [
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks used:UserWarning"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory:UserWarning"),
]
X = torch.linspace(100, 105, 40, dtype=torch.float64)
Y = 2 * X + (30 * X).sin()


class Momentum(ByHandModel):
    """Keeps a velocity in buffers."""

    def build(self, features: int, targets: int, dtype: torch.dtype | None = None) -> None:
        super().build(features, targets, dtype)
        assert self.linear is not None
        for name, w in self.linear.named_parameters():
            self.register_buffer(f"velocity_{name}", torch.zeros_like(w))

    def update(self, batch: Batch) -> Tensor:
        loss = self.differentiable_loss(batch)
        self.manual_backward(loss)
        assert self.linear is not None
        for name, w in self.linear.named_parameters():
            assert w.grad is not None
            w.grad = self.get_buffer(f"velocity_{name}").mul_(0.9).add_(w.grad)
        self.step()
        self.zero_grad()
        return loss


def data(**settings: Any) -> XYDataModule:
    return XYDataModule(X, Y, **settings)


class Torchs(ByHandModel):
    """The same by an optimizer of torch's."""

    def update(self, batch: Batch) -> Tensor:
        loss = self.differentiable_loss(batch)
        self.manual_backward(loss)
        self.step()
        self.zero_grad()
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), self.lr, momentum=0.9)


@pytest.mark.parametrize("method", [Momentum, Torchs])
@pytest.mark.parametrize("batch_size", [None, 1])
def test_an_update_is_all_that_a_method_needs(batch_size: int | None, method: type[ByHandModel]) -> None:
    model = method(lr=0.02, bias=True)
    fit(model, data(batch_size=batch_size, standardize=True), max_epochs=5)
    x, w = (X - X.mean()) / X.std(correction=0), torch.tensor([1.0, 0.0], dtype=torch.float64)
    rows = torch.stack([x, torch.ones_like(x)], 1)
    optimizer = torch.optim.SGD([w.requires_grad_()], 0.02, momentum=0.9)
    for _ in range(5):
        for part in torch.arange(40).split(batch_size or 40):
            optimizer.zero_grad()
            (rows[part] @ w - Y[part]).square().mean().backward()
            optimizer.step()
    assert model.w.item() == pytest.approx(w[0].item() / X.std(correction=0).item(), rel=1e-11)


def test_a_checkpoint_of_standardised_features_keeps_a_methods_buffers(tmp_path: Path) -> None:
    whole, half, resumed, opened = (Momentum(lr=0.02, bias=True) for _ in range(4))
    keep = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
    fit(whole, data(standardize=True), max_epochs=6)
    fit(half, data(standardize=True), max_epochs=3, enable_checkpointing=True, callbacks=[keep])
    checkpoint = tmp_path / "epoch=2.ckpt"
    quiet_trainer(max_epochs=6).fit(resumed, datamodule=data(standardize=True), ckpt_path=checkpoint)
    assert torch.equal(resumed.w, whole.w)
    quiet_trainer().validate(opened, datamodule=data(standardize=True), ckpt_path=checkpoint, verbose=False)
    torch.testing.assert_close(opened.w, half.w)


def test_a_checkpoint_of_averaged_weights_has_their_average_in_the_datas_units(tmp_path: Path) -> None:
    averaged, opened = (GradientDescent(lr=0.02, bias=True) for _ in range(2))
    callbacks = [EMAWeightAveraging(decay=0.5), ModelCheckpoint(tmp_path, filename="{epoch}")]
    fit(averaged, data(standardize=True), max_epochs=3, enable_checkpointing=True, callbacks=callbacks)
    path = tmp_path / "epoch=2.ckpt"
    quiet_trainer().validate(opened, datamodule=data(standardize=True), ckpt_path=path, verbose=False)
    torch.testing.assert_close(opened.w, averaged.w)


def test_an_update_that_returns_no_loss_is_named() -> None:
    class Silent(ByHandModel):
        def update(self, batch: Batch) -> Tensor:
            self.w.grad = torch.zeros_like(self.w)
            return self.step()  # type: ignore[func-returns-value, return-value]

    with pytest.raises(InputError, match=r"Silent.update returns nothing: return the batch's loss"):
        fit(Silent(), data(), max_epochs=1)


def test_a_training_step_of_ones_own_gets_single_batches() -> None:
    sizes = set()

    class Own(GradientDescent):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            x, _ = self.unpack(batch)
            sizes.add(len(x))
            return super().training_step(batch, batch_idx)

    fit(Own(lr=1e-5), data(batch_size=1), max_epochs=1)
    assert sizes == {1}


def test_an_update_or_an_optimizer_of_ones_own_is_not_compiled() -> None:
    class Own(GradientDescent):
        def update(self, batch: Batch) -> Tensor:
            return super().update(batch)

    class Other(GradientDescent):
        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), self.lr, momentum=0.5)

    x = torch.linspace(0, 1, 2000)
    for make, is_compiled in ((GradientDescent, True), (Own, False), (Other, False)):
        model = make(lr=0.1)
        fit(model, XYDataModule(x, 2 * x, batch_size=1), max_epochs=5)
        assert (model._kernel is not None) == is_compiled


@pytest.mark.parametrize("updates_per_step", [1, 8])
def test_a_schedule_counts_every_update(updates_per_step: int) -> None:
    class Scheduled(GradientDescent):
        def configure_optimizers(self) -> Any:
            optimizer = ManualSGD(self.parameters(), self.lr)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    rows = XYDataModule(X / 100, Y, batch_size=1, updates_per_step=updates_per_step)
    trainer = fit(Scheduled(lr=1.0), rows, max_epochs=1)
    assert trainer.optimizers[0].param_groups[0]["lr"] == 2.0**-40
