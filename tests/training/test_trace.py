"""`--trace` beside the notes' own programs, line by line, and what it explains in between."""

import re
import string
from collections.abc import Callable

import pytest
import torch
from conftest import ROOT, Run, quiet_trainer
from notes_programs import PROGRAMS, printed

from linlight import Backpropagation, XYDataModule
from linlight.callbacks import Trace
from linlight.text import display_width, language, wrapped
from linlight.training.lesson import texts

Linlight = Callable[..., Run]
OURS = re.compile(r"# |\t# |optimum: |step: |forecast: |gap: |\w+: y = |run: |  ")
"""How the lines begin that explain, foretell and sum up."""


def trace(linlight: Linlight, *words: object, lang: str = "en") -> tuple[list[str], list[str]]:
    """The lines of the notes, and all of them."""
    lines = linlight("fit", *words, "--trace", "true", "--lang", lang).out.splitlines()
    return [line for line in lines if not OURS.match(line)], lines


def explained(lines: list[str]) -> str:
    return " ".join(line.removeprefix("# ") for line in lines if line.startswith("# "))


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_trace_is_what_the_program_prints(linlight: Linlight, name: str, lang: str) -> None:
    notes, lines = trace(linlight, "--config", ROOT / "configs" / f"{name}.yaml", lang=lang)
    program = printed(PROGRAMS[name])
    assert notes == program
    assert len(program) == {"exhaustive_search": 205, "linear_regression": 103}.get(name, len(program))
    assert all(display_width(line) <= 80 for line in lines if line.startswith("#"))
    explanation = next(i for i, line in enumerate(lines) if line.startswith("# "))
    assert explanation == 0, "what explains comes before what is foretold"


@pytest.mark.parametrize("seed", [1, 7])
def test_trace_of_another_seed(linlight: Linlight, seed: int) -> None:
    config = ROOT / "configs" / "linear_regression.yaml"
    notes, _ = trace(linlight, "--config", config, "--seed_everything", seed)
    assert notes == printed(PROGRAMS["linear_regression"], seed)


@pytest.mark.parametrize(
    ("x", "y"), [([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), ([0.5, -1.0, 2.0], [1.0, 3.0, -2.0])]
)
@pytest.mark.parametrize("name", list(PROGRAMS)[:4])
def test_trace_of_other_data(linlight: Linlight, name: str, x: list[float], y: list[float]) -> None:
    program = re.sub(r"(?m)^x_data = .*$", f"x_data = {x}", PROGRAMS[name])
    program = re.sub(r"(?m)^y_data = .*$", f"y_data = {y}", program)
    words = ["--data.x", x, "--data.y", y, "--config", ROOT / "configs" / f"{name}.yaml"]
    notes, _ = trace(linlight, *words)
    # Another example than the notes' x = 4 is predicted, the first row.
    assert [line for line in notes if not line.startswith(("predict", "the best weight"))] == [
        line for line in printed(program) if not line.startswith("predict")
    ]


def test_first_update_has_its_numbers(linlight: Linlight) -> None:
    _, lines = trace(linlight, "--config", ROOT / "configs" / "backpropagation.yaml")
    first = lines.index("predict (before training) 4 4.0") + 1
    assert lines[first : first + 6] == [
        "# (1) forward: x = 1.0, w = 1.0 -> y_pred = 1.0",
        "# (2) loss: y_pred = 1.0, y = 2.0 -> loss = 1.0",
        "# (3) backward: w.grad, None until now, is -2.0",
        "\tgrad: 1.0 2.0 -2.0",
        "# (4) update: w.data = 1.0 - 0.01*(-2.0) = 1.0199999809265137",
        "# then w.grad.data.zero_(): w.grad is 0.0, for backward() to add to",
    ]
    text = explained(lines)
    assert "requires_grad is True for w, hence True for y_pred and True for l; for x it is False" in text
    for idea in ("l.item()", "torch.Tensor is a class", "w.data", "computational graph"):
        assert idea in text


def test_losses_of_the_two_programs_differ_by_when_they_are_taken(linlight: Linlight) -> None:
    _, stochastic = trace(linlight, "--config", ROOT / "configs" / "stochastic_gradient_descent.yaml")
    _, backward = trace(
        linlight, "--config", ROOT / "configs" / "backpropagation.yaml", "--data.dtype", "float64"
    )
    after = next(line for line in stochastic if line.startswith("progress: 0")).split()[-1]
    before = next(line for line in backward if line.startswith("progress: 0")).split()[-1]
    assert f"At the w before it was {before}:" in explained(stochastic)
    assert f"At the w after it is {after}:" in explained(backward)


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        ("Adam", "running mean of the gradient"),
        ("AdamW", "optimizer AdamW divides"),
        ("Adamax", "largest recent size"),
        ("Adagrad", "smaller and smaller"),
        ("ASGD", "averages w along the way"),
        ("RMSprop", "running mean of its square"),
        ("Rprop", "only the sign of the gradient"),
        ("LBFGS", "curvature"),
        ("NAdam", "optimizer NAdam updates w"),
    ],
)
def test_explanation_fits_the_optimizer(linlight: Linlight, optimizer: str, says: str) -> None:
    words = ["--model", "LinearRegression", "--optimizer", optimizer, "--optimizer.lr", 0.05]
    notes, lines = trace(linlight, *words, "--trainer.max_epochs", 3)
    text = explained(lines)
    assert says in text
    assert "lr = 0.05" in text
    assert "optimizer SGD" not in text
    assert text.count("(3) backward") == text.count("(4) update: w.data was") == 1
    assert [line.split()[0] for line in notes] == ["0", "1", "2", "w", "b", "y_pred"]


@pytest.mark.parametrize(
    ("criterion", "says"),
    [
        ("L1Loss", "|y_pred - y|"),
        ("HuberLoss", "outlier"),
        ("SmoothL1Loss", "criterion SmoothL1Loss squares"),
    ],
)
def test_explanation_fits_the_criterion(linlight: Linlight, criterion: str, says: str) -> None:
    words = ["--model", "LinearRegression", "--model.criterion", criterion, "--trainer.max_epochs", 2]
    _, lines = trace(linlight, *words)
    assert says in explained(lines)
    assert "A gap is" not in explained(lines)


def test_several_features_and_many_rows(linlight: Linlight) -> None:
    x, y = [[float(i), 1.0] for i in range(14)], [2.0 * i for i in range(14)]
    data = ["--data.x", x, "--data.y", y, "--data.dtype", "float64"]
    search, lines = trace(linlight, "--model", "ExhaustiveSearch", "--model.step", 2, *data)
    assert search[0] == "w= [0.0, 0.0]"
    assert search[1] == "\t [0.0, 1.0] 0.0 0.0 0.0"
    assert lines.count("\t# ... 4 more rows") == 9
    descent, lines = trace(linlight, "--model", "GradientDescent", "--model.lr", 0.001, *data)
    assert descent[1].startswith("epoch: 0 w= [")
    text = explained(lines)
    assert "x = [[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], ... 11 more], w = [1.0, 1.0] ->" in text
    assert "y_pred = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, ... 8 more]" in text


@pytest.mark.parametrize("model", ["GradientDescent", "Backpropagation", "LinearRegression"])
def test_the_first_update_of_a_bias_is_shown(linlight: Linlight, model: str) -> None:
    words = ["--model", model, "--model.bias", "true", "--model.w0", 1, "--data.dtype", "float64"]
    data = ["--data.x", "[1, 2, 6]", "--data.y", "[1, 3, 2]", "--trainer.max_epochs", 1]
    text = explained(trace(linlight, *words, *data)[1])
    assert "w.grad, None until now, is 14.666666666666666; b.grad, None until now, is 2.0" in text
    assert "w.data = 1.0 - 0.01*(14.666666666666666) = 0.853333333333333" in text
    assert "; b.data = 0.0 - 0.01*(2.0) = -0.02" in text
    assert ("2*(x*w + b - y), and b <- b" in text) == (model == "GradientDescent")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], ["y_pred = x*w,", "the curve in loss_curve.png"]),
        (["--model.bias=true"], ["y_pred = x*w + b,", "a surface, drawn"]),
        (["--data.x=[[1, 2], [2, 0]]", "--data.y=[1, 2]"], ["y_pred = x*w,", "a surface, drawn"]),
        (["--data.x=[[1, 2, 3], [2, 0, 1]]", "--data.y=[1, 2]"], ["cannot be drawn"]),
    ],
)
def test_explanation_fits_the_search(linlight: Linlight, words: list[str], says: list[str]) -> None:
    text = explained(trace(linlight, "--model", "ExhaustiveSearch", "--model.step=1", *words)[1])
    assert all(one in text for one in says)
    assert ("the curve in loss_curve.png" in text) == (not words)


def test_both_languages_say_the_same_of_the_same_values() -> None:
    for key, both in texts().items():
        english, chinese = both["en"], both["zh"]
        fields = [
            {name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (english, chinese)
        ]
        assert fields[0] == fields[1], key
        english.encode("ascii")
        chinese.encode("gbk")
        assert not re.search(r"[\u4e00-\u9fff][,;:?!]|[,;:?!][\u4e00-\u9fff]", chinese), key
    for term in ("穷举法", "梯度下降", "随机梯度下降", "反向传播", "损失函数", "计算图"):
        assert any(term in both["zh"] for both in texts().values()), term


def test_language_is_the_locales_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert language() == "zh"
    assert language("en") == "en"
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert language() == "en"
    assert language("zh") == "zh"


def test_wrapped_lines_fit_and_lose_nothing() -> None:
    for both in texts().values():
        for text in both.values():
            lines = wrapped(text, 40)
            assert all(display_width(line) <= 42 for line in lines)  # punctuation may hang over
            assert "".join("".join(lines).split()) == "".join(text.split())


@pytest.mark.filterwarnings(
    "ignore:You defined a `validation_step`", "ignore:The .*dataloader.* does not have many"
)
def test_a_gap_is_explained_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    def printed_by(train: object) -> str:
        quiet_trainer(max_epochs=1, log_every_n_steps=1, callbacks=[Trace("en")]).fit(
            Backpropagation(), train
        )
        return explained(capsys.readouterr().out.splitlines())

    x = torch.tensor([[1.0], [2.0]])
    rows = torch.utils.data.TensorDataset(x, 2 * x)
    assert "A gap is how far" in printed_by(XYDataModule(x, 2 * x))
    assert "A gap is how far" not in printed_by(torch.utils.data.DataLoader(rows))
