"""What `--trace` explains, in English and in the notes' Chinese, term for term with the notes.

Chinese and English stand together, so that neither is changed without the other. In both, `x`, `y`,
`y_pred`, `w`, `b`, `lr` and `l` are the names of the notes' programs. Every letter exists in GBK and every
English one in ASCII, which some terminals have instead of UTF-8.
"""

TEXT: dict[str, tuple[str, str]] = {
    "search": (
        "Exhaustive search tries {candidates:,} candidates. For each row x, y: the prediction y_pred = {formula}, "
        "and the loss (y_pred - y)^2. The loss is of one sample; over the training set it is their mean, the MSE.",
        "穷举法：逐个尝试 {candidates:,} 个候选值。对每个样本 x, y 先求预测值 y_pred = {formula}，再求损失 (y_pred - y)^2。"
        "损失函数是针对一个样本的；整个 training set 得到的是平均平方误差 MSE。",
    ),
    "search_curve": (
        "Over w the MSE is a parabola, the curve in loss_curve.png; the best candidate is the one nearest to "
        "its bottom. Nothing tells the search where to look: each further weight multiplies the candidates.",
        "MSE 关于 w 的损失曲线是一条抛物线（见 loss_curve.png），最好的候选值最靠近它的最低点。"
        "穷举法不知道该往哪个方向找：每多一个权重，候选值的个数就再乘一次。",
    ),
    "search_surface": (
        "Over two parameters the MSE is a surface, drawn with its contours in loss_curve.png; the best candidate "
        "is near its lowest point. Nothing tells the search where to look: each further weight multiplies the "
        "candidates.",
        "两个参数的 MSE 是一张曲面（见 loss_curve.png，旁边是等高线），最好的候选值靠近它的最低点。"
        "穷举法不知道该往哪个方向找：每多一个权重，候选值的个数就再乘一次。",
    ),
    "search_sorted": (
        "Over more than two parameters the MSE cannot be drawn: loss_curve.png has the MSE of all candidates, the "
        "best first. Nothing tells the search where to look: each further weight multiplies the candidates.",
        "两个以上参数的 MSE 画不出来：loss_curve.png 是全部候选值的 MSE，从最好的排起。"
        "穷举法不知道该往哪个方向找：每多一个权重，候选值的个数就再乘一次。",
    ),
    "gradient": (
        "Gradient descent: the loss of a row is ({formula} - y)^2, so by the chain rule its gradient with respect "
        "to w is 2*x*({formula} - y). The cost is the mean loss of all rows, its gradient the mean of theirs.",
        "梯度下降：一个样本的损失是 ({formula} - y)^2，由链式法则，它对 w 的梯度是 2*x*({formula} - y)。"
        "cost 是全部样本损失的平均，它的梯度就是各样本梯度的平均。",
    ),
    "downhill": (
        "The cost falls fastest against the gradient, hence w <- w - lr*gradient with lr = {lr}. "
        "The loss printed in an epoch is the one before its update.",
        "cost 沿梯度的反方向下降最快，所以 w <- w - lr*梯度，lr = {lr}。每个 epoch 打印的 loss 是更新之前的。",
    ),
    "bias": (
        "The bias b is a weight whose x is 1: its gradient is 2*(x*w + b - y), and b <- b - lr*gradient.",
        "偏置 b 相当于 x 恒为 1 的权重：它的梯度是 2*(x*w + b - y)，b <- b - lr*梯度。",
    ),
    "stochastic": (
        "Stochastic gradient descent takes the loss of {batch} for an update, where gradient descent takes the "
        "mean over all {rows:,} rows: w <- w - lr*2*x*({formula} - y), lr = {lr}.",
        "随机梯度下降：每次更新只取{batch}的损失（梯度下降是平均全部 {rows:,} 个样本的损失）："
        "w <- w - lr*2*x*({formula} - y)，lr = {lr}。",
    ),
    "noise_buys": (
        "What its noise buys: {updates:,} updates an epoch where gradient descent makes one, each as cheap as its "
        "few rows however large the sample is; and a push away from where the mean gradient happens to be 0.",
        "噪声的好处：每个 epoch 更新 {updates:,} 次（梯度下降只有 1 次），样本再多，一次更新的计算量也不变；"
        "在平均梯度恰好为 0 的地方（例如鞍点），噪声还能推着 w 离开。",
    ),
    "noise_costs": (
        "What it costs: each batch pulls w towards its own optimum, so that w trembles and with a fixed lr comes "
        "to rest only where one w fits every row; and each update has to wait for the one before it.",
        "噪声的代价：每次更新都把 w 拉向自己那几个样本的最优值，w 会抖动，lr 固定时，"
        "只有同一个 w 适合全部样本才会停下来；而且每次更新都要等前一次完成，不能并行。",
    ),
    "backpropagation": (
        "Back-propagation: the forward pass builds the computational graph from w to the loss l; l.backward() "
        "walks it back from l and adds the gradient to w.grad. No formula is derived by hand.",
        "反向传播：前向传播时构建从 w 到损失 l 的计算图；l.backward() 沿计算图从 l 往回走，"
        "把梯度加到 w.grad 上，不用手工推导公式。",
    ),
    "requires_grad": (
        "Whatever depends on w in the graph needs gradients: requires_grad is {w} for w, hence {y_pred} for "
        "y_pred and {loss} for l; for x it is {x}.",
        "计算图中跟 w 相关的 tensor 都默认需要计算梯度：w.requires_grad 是 {w}，所以 y_pred 的是 {y_pred}，"
        "l 的是 {loss}；x 的是 {x}。",
    ),
    "data_grad": (
        "w is a Tensor that holds two more: w.data, its numbers, and w.grad, which is None until the first "
        "backward(). The update changes w.data by w.grad.data, so that it is no part of the graph; and as "
        "backward() adds, w.grad.data.zero_() follows it.",
        "w 是 Tensor（张量），其中包含 data 和 grad，它们也是 Tensor。grad 初始为 None，调用 l.backward() 之后才是 "
        "Tensor。更新时用 w.grad.data 改 w.data，这样更新不进入计算图；backward() 是累加的，"
        "所以更新之后要 w.grad.data.zero_()。",
    ),
    "item": (
        "l.item() takes the number out of the tensor l. Sums take it: sum += l.item() adds numbers, while "
        "sum += l would go on building the graph, and keep that of every row in memory.",
        "l.item() 可以把损失值取出来。求和要写 sum += l.item()：加的是数；若写 sum += l，"
        "计算图会越建越大，每个样本的图都留在内存里。",
    ),
    "tensor": (
        "torch.Tensor is a class: torch.Tensor([1]) is float32, the default type. torch.tensor is a function: "
        "torch.tensor([1]) takes the type of its values, here int64, which has no gradients.",
        "Tensor 和 tensor 的区别：torch.Tensor 是类，torch.Tensor([1]) 是默认类型 float32；torch.tensor 是函数，"
        "torch.tensor([1]) 的类型由数据决定，这里是 int64，不能求梯度。",
    ),
    "linear": (
        "Linear regression with PyTorch: nn.Linear, a nn.Module, holds {parameters}. Calling model(x) runs its "
        "__call__, which runs forward(x): y_pred = {formula}.",
        "用 PyTorch 实现线性回归：nn.Linear 继承 nn.Module，包含 {parameters}。调用 model(x) 就是执行它的 __call__，"
        "__call__ 再调用 forward(x)：y_pred = {formula}。",
    ),
    "automatic": (
        "Lightning calls optimizer.zero_grad(), loss.backward() and optimizer.step() for every batch: automatic "
        "optimization. zero_grad comes first because backward() adds to what is there.",
        "Lightning 对每个 batch 依次调用 optimizer.zero_grad()、loss.backward()、optimizer.step()，"
        "即自动优化。先清零，因为 backward() 是在原有梯度上累加的。",
    ),
    "least_squares": (
        "Least squares: over w the loss is a parabola, so its bottom needs no steps. There the gradient "
        "2*x*({formula} - y), summed over the rows, is 0: a linear equation for w. One pass over the rows gathers what "
        "the equation needs; then it is solved.",
        "最小二乘：损失关于 w 是抛物线，求最低点不必一步步走：那里各样本梯度 2*x*({formula} - y) 之和为 0，"
        "这是 w 的线性方程。把数据过一遍，收集方程所需的量，然后直接求解。",
    ),
    "gap": (
        "A gap is how far a loss lies above the optimum's, the lowest that any w reaches on these rows. What "
        "follows is computed from the rows before the first step:",
        "gap（差距）是当前损失比最优损失（任何 w 在这些样本上所能达到的最低损失）高出多少。"
        "下面几行在第一步之前由数据算出：",
    ),
    # The four steps of the first update, in the notes' numbering.
    "forward": (
        "(1) forward: x = {x}, {weights} -> y_pred = {y_pred}",
        "①前向传播：x = {x}, {weights} -> y_pred = {y_pred}",
    ),
    "loss": (
        "(2) loss: y_pred = {y_pred}, y = {y} -> loss = {loss}",
        "②计算 loss：y_pred = {y_pred}, y = {y} -> loss = {loss}",
    ),
    "backward": ("(3) backward: {gradients}", "③反向传播 backward：{gradients}"),
    "by_formula": (
        "(3) gradient, by the formula instead of backward: {gradients}",
        "③计算梯度（用公式，不用 backward）：{gradients}",
    ),
    "gradient_of": ("{name}.grad, {before} until now, is {grad}", "{name}.grad 由 {before} 变为 {grad}"),
    "update": ("(4) update: {steps}", "④更新参数：{steps}"),
    "step": ("{name}.data was {before}, is {after}", "{name}.data 由 {before} 变为 {after}"),
    "step_by": (
        "{name}.data = {before} - {lr}*({grad}) = {after}",
        "{name}.data = {before} - {lr}*({grad}) = {after}",
    ),
    "zero": (
        "then w.grad.data.zero_(): w.grad is {grad}, for backward() to add to",
        "然后 w.grad.data.zero_()：w.grad 又是 {grad}，供 backward() 累加",
    ),
    "after_update": (
        "This loss is of the last row, at the w after its update. At the w before it was {before}: that is what "
        "the back-propagation program prints, with the same w.",
        "这个 loss 是最后一个样本在更新之后的 w 处的损失；更新之前是 {before}，反向传播的程序打印的就是它，w 却相同。",
    ),
    "before_update": (
        "This loss is of the last row, at the w before its update. At the w after it is {after}: that is what "
        "the program of stochastic gradient descent prints, with the same w.",
        "这个 loss 是最后一个样本在更新之前的 w 处的损失；更新之后是 {after}，随机梯度下降的程序打印的就是它，w 却相同。",
    ),
    # What compares, and what updates.
    "MSELoss sum": (
        "criterion MSELoss(reduction='sum') adds up the squares (y_pred - y)^2 of all rows: its gradient grows "
        "with their number, and lr has to shrink with it.",
        "损失函数 MSELoss(reduction='sum') 把全部样本的 (y_pred - y)^2 相加：样本越多，梯度越大，lr 就要相应减小。",
    ),
    "MSELoss": (
        "criterion MSELoss takes the mean of the squares (y_pred - y)^2 of the rows.",
        "损失函数 MSELoss 取各样本 (y_pred - y)^2 的平均。",
    ),
    "L1Loss": (
        "criterion L1Loss takes |y_pred - y|: a row's gradient is x or -x however far off it is, so steps do not "
        "shrink near the optimum unless lr does.",
        "损失函数 L1Loss 取 |y_pred - y|：误差再大，一个样本的梯度也只是 x 或 -x；"
        "在最优值附近，只有减小 lr，步长才会变小。",
    ),
    "HuberLoss": (
        "criterion HuberLoss squares small errors and takes the absolute value of large ones, so that an outlier "
        "pulls only so hard.",
        "损失函数 HuberLoss 对小误差取平方，对大误差取绝对值，离群样本的影响有限。",
    ),
    "criterion": ("criterion {name} compares y_pred with y.", "损失函数 {name} 比较 y_pred 和 y。"),
    "SGD": (
        "optimizer SGD does w <- w - lr*gradient, lr = {lr}.",
        "优化器 SGD：w <- w - lr*梯度，lr = {lr}。",
    ),
    "SGD momentum": (
        "optimizer SGD with momentum gathers speed: v <- momentum*v + gradient, then w <- w - lr*v, lr = {lr}.",
        "优化器 SGD（带动量）会积累速度：v <- momentum*v + 梯度，再 w <- w - lr*v，lr = {lr}。",
    ),
    "Adam": (
        "optimizer Adam divides a running mean of the gradient by the root of a running mean of its square: "
        "steps of about lr = {lr} at first, however large the gradient is.",
        "优化器 Adam 用梯度的滑动平均除以梯度平方滑动平均的平方根：无论梯度多大，开始时每步大约是 lr = {lr}。",
    ),
    "Adamax": (
        "optimizer Adamax divides a running mean of the gradient by its largest recent size: steps of about "
        "lr = {lr} at first.",
        "优化器 Adamax 用梯度的滑动平均除以近期梯度绝对值的最大值：开始时每步大约是 lr = {lr}。",
    ),
    "Adagrad": (
        "optimizer Adagrad divides the gradient by the root of the sum of all its squares so far: the first step "
        "is lr = {lr}, and steps become smaller and smaller.",
        "优化器 Adagrad 用梯度除以迄今梯度平方和的平方根：第一步是 lr = {lr}，以后越来越小。",
    ),
    "ASGD": (
        "optimizer ASGD does SGD's steps, lr = {lr}, and averages w along the way beside them; what is printed "
        "and kept is the last w, not the average.",
        "优化器 ASGD 按 SGD 更新，lr = {lr}，同时另外记录 w 的平均值；这里打印和保存的是最后的 w，不是平均值。",
    ),
    "RMSprop": (
        "optimizer RMSprop divides the gradient by the root of a running mean of its square, lr = {lr}.",
        "优化器 RMSprop 用梯度除以梯度平方滑动平均的平方根，lr = {lr}。",
    ),
    "Rprop": (
        "optimizer Rprop takes only the sign of the gradient; each weight's step, lr = {lr} at first, grows while "
        "the sign stays and shrinks when it changes. It is meant for whole batches.",
        "优化器 Rprop 只看梯度的符号；每个权重的步长开始是 lr = {lr}，符号不变就变大，符号改变就变小。"
        "它适合一次用全部样本。",
    ),
    "LBFGS": (
        "optimizer LBFGS learns the curvature from the last gradients and evaluates the loss several times a "
        "step, lr = {lr}: it almost jumps to the optimum of a parabola.",
        "优化器 LBFGS 由最近几次梯度估计曲率，一步之内多次计算损失，lr = {lr}："
        "在抛物线上几乎一下子跳到最低点。",
    ),
    "optimizer": (
        "optimizer {name} updates w from its gradient, lr = {lr}.",
        "优化器 {name} 根据梯度更新 w，lr = {lr}。",
    ),
}


def said(key: str, lang: str, **values: object) -> str:
    """A text in a language, filled in.

    Args:
        key: One of `TEXT`.
        lang: `en` or `zh`.
        values: What its braces stand for.
    """
    return TEXT[key][lang == "zh"].format(**values)
