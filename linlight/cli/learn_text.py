"""What `linlight learn` shows: five screens, in English and in the notes' Chinese.

The right column of a screen's lines is linlight's own code, word for word.
"""

from dataclasses import dataclass

Both = tuple[str, str]
"""In English, and in Chinese."""


@dataclass(frozen=True)
class Screen:
    """A program of the notes, as one screen of 80 columns.

    Attributes:
        title: Its name.
        lines: Each line of the notes beside the line of linlight that does it, and the file of that.
        command: What runs it here.
        output: How many of the first and of the last lines of its output are shown.
        steps: Whether the steps of the first update are among them.
        question: Something to think about, looking at the output.
        answer: Its answer.
    """

    title: Both
    lines: tuple[tuple[str, str, str], ...]
    command: str
    output: tuple[int, int]
    steps: bool
    question: Both
    answer: Both


SCREENS = (
    Screen(
        title=("Exhaustive search", "穷举法"),
        lines=(
            (
                "for w in np.arange(0.0,4.1,0.1):",
                "candidates = torch.cartesian_prod(*grids)",
                "methods/exhaustive_search.py",
            ),
            ("y_pred_val = forward(x_val)", "y_hat = torch.addmm(b, xs, w.T)", "functional/squared_error.py"),
            ("plt.plot(w_list, mse_list)", "axes.plot(candidates[:, 0], loss", "runs/search_curve.py"),
        ),
        command="linlight fit --model ExhaustiveSearch --data.dtype float64 --trace true",
        output=(5, 1),
        steps=False,
        question=(
            "Why 2 exactly? Would the search have found 2.05?",
            "为什么恰好是 2？如果最优值是 2.05，能找到吗？",
        ),
        answer=(
            "2.0 is one of the 41 candidates, and only those are tried: for 2.05 it would name a neighbour. "
            "A second weight makes 41*41 = 1681 candidates, a third 68921.",
            "因为 2.0 正好是 41 个候选值之一，穷举法只试候选值；若是 2.05，只能得到相邻的候选值。"
            "两个权重就有 41*41 = 1681 个候选，三个有 68921 个。",
        ),
    ),
    Screen(
        title=("Gradient descent", "梯度下降"),
        lines=(
            (
                "grad += 2 * x * (x * w - y)",
                "2 * (residual.T @ x)",
                "functional/squared_error.py",
            ),
            ("return grad / len(xs)", "w.grad = grad_w / count", "methods/gradient_descent.py"),
            ("w -= 0.01 * grad_val", 'w.data -= group["lr"] * w.grad.data', "methods/base/optim.py"),
        ),
        command="linlight fit --model GradientDescent --data.dtype float64 --trace true",
        output=(5, 3),
        steps=False,
        question=(
            "After 100 epochs w is 1.99994. When will it be 2?",
            "100 个 epoch 之后 w 是 1.99994，什么时候才等于 2？",
        ),
        answer=(
            "Never quite: each epoch multiplies the distance to 2 by 1 - 0.01*2*14/3 = 0.9067, where 14/3 is the "
            "mean of x^2. The forecast knew it: a millionth of the gap after 71 epochs.",
            "永远差一点：每个 epoch 把 w 到 2 的距离乘以 1 - 0.01*2*14/3 = 0.9067（14/3 是 x^2 的平均）。"
            "forecast 一行在训练之前就算出：71 个 epoch 之后 gap 只剩百万分之一。",
        ),
    ),
    Screen(
        title=("Stochastic gradient descent", "随机梯度下降"),
        lines=(
            (
                "for x, y in zip(x_data, y_data):",
                "for one in self.updates(batches):",
                "methods/gradient_descent.py",
            ),
            ("grad = gradient(x, y)", "w.grad = grad_w / count", "methods/gradient_descent.py"),
            ("w -= 0.01 * grad", 'w.data -= group["lr"] * w.grad.data', "methods/base/optim.py"),
        ),
        command="linlight fit --model GradientDescent --data.batch_size 1 --data.dtype float64 --trace true",
        output=(5, 3),
        steps=False,
        question=(
            "The same lr, the same 100 epochs: why is it so much nearer to 2?",
            "lr 相同，epoch 数也相同，为什么 w 离 2 近得多？",
        ),
        answer=(
            "Three updates an epoch instead of one: the distance is multiplied by 0.98*0.92*0.82 = 0.7393. "
            "And y = 2x fits every row, so that the noise dies out with the loss.",
            "每个 epoch 更新三次而不是一次，距离乘以 0.98*0.92*0.82 = 0.7393。"
            "而且 y = 2x 适合每个样本，噪声随损失一起消失。",
        ),
    ),
    Screen(
        title=("Back-propagation", "反向传播"),
        lines=(
            ("l = loss(x, y)", "loss = self.differentiable_loss(one)", "methods/backpropagation.py"),
            ("l.backward()", "self.manual_backward(loss)", "methods/backpropagation.py"),
            ("w.grad.data.zero_()", "w.grad.data.zero_()", "methods/backpropagation.py"),
        ),
        command="linlight fit --model Backpropagation --data.batch_size 1 --data.dtype float32 --trace true",
        output=(7, 2),
        steps=True,
        question=(
            "No formula was derived: where does the gradient -2.0 come from?",
            "没有手工推导公式，梯度 -2.0 从哪里来？",
        ),
        answer=(
            "From the graph, walked back: dl/dy_pred = 2*(y_pred - y) = 2*(1 - 2) = -2, times dy_pred/dw = x = 1.",
            "沿计算图往回走：dl/dy_pred = 2*(y_pred - y) = 2*(1 - 2) = -2，再乘 dy_pred/dw = x = 1。",
        ),
    ),
    Screen(
        title=("Linear regression with PyTorch", "用 PyTorch 实现线性回归"),
        lines=(
            (
                "self.linear = torch.nn.Linear(1, 1)",
                "self.linear = nn.Linear(features, targets",
                "methods/base/linear.py",
            ),
            ("loss = criterion(y_pred, y_data)", "self.criterion(y_hat, y)", "methods/base/linear.py"),
            (
                "optimizer = torch.optim.SGD(...)",
                "torch.optim.SGD(self.parameters()",
                "methods/linear_regression.py",
            ),
        ),
        command="linlight fit --model LinearRegression --model.criterion MSELoss "
        "--model.criterion.reduction sum --data.dtype float32 --trace true",
        output=(3, 4),
        steps=False,
        question=(
            "Why is it 1.746 x + 0.577 and not 2 x?",
            "为什么得到 1.746 x + 0.577，而不是 2 x？",
        ),
        answer=(
            "Two parameters start at random and slide down a narrow valley, along which w and b balance each other. "
            "The forecast: a millionth of the gap takes 659 epochs, --trainer.max_epochs 659.",
            "两个参数从随机值出发，沿狭长的山谷下滑，w 和 b 在谷底互相抵消，走得慢。"
            "forecast 说 gap 降到百万分之一要 659 个 epoch：--trainer.max_epochs 659。",
        ),
    ),
)

WORDS: dict[str, Both] = {
    "notes": ("the notes", "笔记"),
    "question": ("Question: ", "问："),
    "answer": ("Answer: ", "答："),
    "think": ("[Enter: the answer; q: end]", "[回车：看答案；q：结束]"),
    "next": ("[Enter: on; q: end]", "[回车：继续；q：结束]"),
    "all": ("All five, side by side", "五种方法放在一起"),
    "page": (
        "{page} is a page that needs no network: its slider moves every method along its path.",
        "{page} 是一个网页，不用联网；拖动滑块，各方法沿自己的路径移动。",
    ),
    "open": ("[Enter: open it in the browser; q: end]", "[回车：用浏览器打开；q：结束]"),
    "no_browser": ("there is no browser here: open the file yourself", "这里没有浏览器，请自己打开这个文件"),
}
