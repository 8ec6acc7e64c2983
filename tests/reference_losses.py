"""Targets and losses restated as plain loops over Python floats.

A row is one example (or one pixel): K logits, and a label or K soft target values.
"""

import math


def smoothed_target(target, k, smoothing, convention="uniform", prior=None, ignore_index=-100):
    """K numbers: the target of one row after smoothing."""
    if not isinstance(target, int):
        rows = [smoothed_target(j, k, smoothing, convention, prior) for j in range(k)]
        return [sum(target[j] * rows[j][c] for j in range(k)) for c in range(k)]
    if target == ignore_index:
        return [0.0] * k
    q = []
    for c in range(k):
        hard = 1.0 if c == target else 0.0
        if convention == "exclude_true":
            q.append(1 - smoothing if c == target else smoothing / (k - 1))
        else:
            row = prior[target] if prior and isinstance(prior[0], list) else prior
            q.append((1 - smoothing) * hard + smoothing * (row[c] if row else 1 / k))
    return q


def log_softmax(logits):
    top = max(logits)
    log_sum = math.log(sum(math.exp(z - top) for z in logits))
    return [z - top - log_sum for z in logits]


def row_weight(target, weight, ignore_index=-100):
    """What the mean divides by: the weight of the unsmoothed target."""
    if isinstance(target, int):
        return 0.0 if target == ignore_index else weight[target]
    return sum(t * w for t, w in zip(target, weight))


def smoothed_cross_entropy(
    logits,
    targets,
    smoothing,
    weight=None,
    ignore_index=-100,
    reduction="mean",
    convention="uniform",
    prior=None,
    weight_mode="per_class",
    normalize="weights",
):
    """The loss of rows of logits: a number, or a list of them for `none`."""
    k = len(logits[0])
    weight = weight or [1.0] * k
    losses, total = [], 0.0
    for z, target in zip(logits, targets):
        q = smoothed_target(target, k, smoothing, convention, prior, ignore_index)
        log_p = log_softmax(z)
        of_row = row_weight(target, weight, ignore_index)
        loss = 0.0
        for c in range(k):
            loss -= (weight[c] if weight_mode == "per_class" else of_row) * q[c] * log_p[c]
        losses.append(loss)
        ignored = target == ignore_index if isinstance(target, int) else sum(target) == 0
        total += of_row if normalize == "weights" else 0 if ignored else 1
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    return sum(losses) / total if total > 0 else 0.0


def binary(z, y, smoothing, weight=1.0, pos_weight=1.0):
    """The loss of one logit, of a target in [0, 1]."""
    if isinstance(smoothing, tuple):
        q = y * (1 - smoothing[0]) + (1 - y) * smoothing[1]
    else:
        q = y * (1 - smoothing) + smoothing / 2
    yes, no = -math.log1p(math.exp(-z)), -math.log1p(math.exp(z))
    return -weight * (pos_weight * q * yes + (1 - q) * no)


def penalized(logits, targets, strength, penalty, weight=None, ignore_index=-100, reduction="mean"):
    """Cross entropy plus the penalty of each row that is not ignored, each reduced alike."""
    hard = smoothed_cross_entropy(
        logits, targets, 0.0, weight=weight, ignore_index=ignore_index, reduction=reduction
    )
    penalties, kept = [], 0
    for z, target in zip(logits, targets):
        ignored = target == ignore_index if isinstance(target, int) else sum(target) == 0
        penalties.append(0.0 if ignored else strength * penalty(z))
        kept += not ignored
    if reduction == "none":
        return [h + p for h, p in zip(hard, penalties)]
    if reduction == "sum":
        return hard + sum(penalties)
    return hard + (sum(penalties) / kept if kept else 0.0)


def top_over_mean(z):
    """The penalty of MaxSup."""
    return max(z) - sum(z) / len(z)


def beyond_margin(z, margin):
    """The penalty of MbLS."""
    return sum(max(0.0, max(z) - other - margin) for other in z) / len(z)


def online_rows(rows, batches):
    """K soft labels after an epoch: the mean softmax of each class's correct predictions."""
    k = len(rows)
    result = []
    for c in range(k):
        right = []
        for z, y in batches:
            if y == c and z.index(max(z)) == c:
                right.append([math.exp(v) for v in log_softmax(z)])
        mean = [sum(p[j] for p in right) / len(right) for j in range(k)] if right else rows[c]
        result.append(mean)
    return result


# --- The smoothed cross entropies of other programs, each as its source has it ------------------
#
# logits: rows of K numbers. labels: integers. a: the argument of that program. w: class weights.
# Unless said otherwise the program returns the mean over the rows.


def one_hot(label, k):
    return [1.0 if c == label else 0.0 for c in range(k)]


def soft_cross_entropy(z, q, w=None):
    """-sum of w q log softmax(z) over the classes of one row."""
    w = w or [1.0] * len(z)
    return -sum(wc * qc * lc for wc, qc, lc in zip(w, q, log_softmax(z)))


def mean(values):
    return sum(values) / len(values)


def pytorch(logits, labels, a, w=None, ignore_index=-100):
    """PyTorch 2.13, `torch.nn.functional.cross_entropy(label_smoothing=a, weight=w)`, labels.

    Negative smoothing is ignored. The mean divides by the weights of the labels.
    """
    k = len(logits[0])
    w = w or [1.0] * k
    loss, total = 0.0, 0.0
    for z, y in zip(logits, labels):
        if y == ignore_index:
            continue
        log_p = log_softmax(z)
        of_label = -w[y] * log_p[y]
        of_all = -sum(w[c] * log_p[c] for c in range(k))
        loss += (1 - a) * of_label + a / k * of_all if a > 0 else of_label
        total += w[y]
    return loss / total


def pytorch_soft(logits, targets, a, w=None):
    """PyTorch 2.13, the same for soft targets: the mean divides by their number."""
    k = len(logits[0])
    losses = []
    for z, t in zip(logits, targets):
        q = [(1 - a) * tc + a / k for tc in t] if a > 0 else t
        losses.append(soft_cross_entropy(z, q, w))
    return mean(losses)


def timm(logits, labels, a):
    """timm 1.0.31, timm/loss/cross_entropy.py, `LabelSmoothingCrossEntropy(a)`."""
    losses = []
    for z, y in zip(logits, labels):
        log_p = log_softmax(z)
        losses.append((1 - a) * -log_p[y] + a * mean([-v for v in log_p]))
    return mean(losses)


def timm_binary(logits, labels, a):
    """timm 1.0.31, timm/loss/binary_cross_entropy.py, `BinaryCrossEntropy(a)` of labels.

    The mean is over rows and classes.
    """
    k = len(logits[0])
    losses = []
    for z, y in zip(logits, labels):
        for c in range(k):
            q = 1 - a + a / k if c == y else a / k
            losses.append(binary(z[c], q, 0.0))
    return mean(losses)


def fastai(logits, labels, a, w=None, ignore_index=-100):
    """fastai 2.8.12, fastai/losses.py, `LabelSmoothingCrossEntropy(eps=a, weight=w)`.

    The weights reach the term of the label alone, and ignored rows stay in the other term.
    """
    k = len(logits[0])
    w = w or [1.0] * k
    of_label, total, of_all = 0.0, 0.0, []
    for z, y in zip(logits, labels):
        log_p = log_softmax(z)
        of_all.append(-sum(log_p))
        if y != ignore_index:
            of_label -= w[y] * log_p[y]
            total += w[y]
    return mean(of_all) * a / k + (1 - a) * of_label / total


def early_fastai(logits, labels, a):
    """The first version of fastai's, as its author describes it (forums.fast.ai, post 6)."""
    losses = []
    for z, y in zip(logits, labels):
        k = len(z)
        q = [1 - a if c == y else a / (k - 1) for c in range(k)]
        losses.append(soft_cross_entropy(z, q))
    return mean(losses)


def composer(label, k, a):
    """Composer at 6405188, composer/algorithms/label_smoothing/label_smoothing.py, `smooth_labels`.

    The one-hot row of a negative label is zero (composer/loss/utils.py), and smoothing fills it.
    """
    return [t * (1 - a) + a / k for t in one_hot(label, k)]


def composer_loss(logits, labels, a, w=None):
    """Composer at 6405188, `smooth_labels`, then `soft_cross_entropy` of composer/loss/loss.py.

    The mean over the rows is divided by the mean of what the targets sum to.
    """
    losses, total = [], 0.0
    for z, y in zip(logits, labels):
        q = composer(y, len(z), a)
        losses.append(soft_cross_entropy(z, q, w))
        total += sum(q)
    scale = len(logits) / total if total < len(logits) else 1.0
    return mean(losses) * scale


def keras(logits, labels, a):
    """Keras 3.15.1, keras/src/losses/losses.py, `CategoricalCrossentropy(label_smoothing=a)`.

    From logits and one-hot targets. TensorFlow's `tf.keras` is this program.
    """
    losses = []
    for z, y in zip(logits, labels):
        q = [t * (1 - a) + a / len(z) for t in one_hot(y, len(z))]
        losses.append(soft_cross_entropy(z, q))
    return mean(losses)


def keras_binary(logits, targets, a):
    """Keras 3.15.1, keras/src/losses/losses.py, `BinaryCrossentropy(label_smoothing=a)`.

    From logits; the mean is over all entries.
    """
    losses = []
    for row, answers in zip(logits, targets):
        for z, y in zip(row, answers):
            losses.append(binary(z, y * (1 - a) + 0.5 * a, 0.0))
    return mean(losses)


def optax(logits, labels, a):
    """optax 0.2.8, optax/losses/_smoothing.py, `smooth_labels`, and `softmax_cross_entropy`.

    One loss for each row.
    """
    losses = []
    for z, y in zip(logits, labels):
        q = [(1.0 - a) * t + a / len(z) for t in one_hot(y, len(z))]
        losses.append(soft_cross_entropy(z, q))
    return losses


def paddle(logits, labels, a, w=None, prior=None):
    """Paddle, nn/functional: `label_smooth(epsilon=a)` and `cross_entropy(soft_label=True)`.

    The weight of a row is that of its smoothed target, and the mean divides by their sum.
    """
    k = len(logits[0])
    w, prior = w or [1.0] * k, prior or [1 / k] * k
    loss, total = 0.0, 0.0
    for z, y in zip(logits, labels):
        q = [(1 - a) * t + a * m for t, m in zip(one_hot(y, k), prior)]
        of_row = sum(wc * qc for wc, qc in zip(w, q))
        loss += of_row * soft_cross_entropy(z, q)
        total += of_row
    return loss / total


def opennmt_py(logits, labels, a, padding):
    """OpenNMT-py 3.5.1, onmt/utils/loss.py: PyTorch's loss, summed, without the padding."""
    kept = [(z, y) for z, y in zip(logits, labels) if y != padding]
    return sum(pytorch([z], [y], a) for z, y in kept)


def early_opennmt_py_target(label, k, a, padding):
    """The target of one row: nothing for the padding, as a class and as a label."""
    q = [a / (k - 2)] * k
    q[padding] = 0.0  # an index from the end, where it is negative
    q[label] = 1 - a
    return [0.0] * k if label == padding else q


def early_opennmt_py(logits, labels, a, padding):
    """OpenNMT-py 3.0.2, onmt/utils/loss.py, `LabelSmoothingLoss(a, K, ignore_index=padding)`.

    The divergence KL(q || softmax), summed over the rows.
    """
    loss = 0.0
    for z, y in zip(logits, labels):
        log_p = log_softmax(z)
        for qc, lc in zip(early_opennmt_py_target(y, len(z), a, padding), log_p):
            loss += qc * (math.log(qc) - lc) if qc else 0.0
    return loss


def opennmt_tf(logits, labels, a):
    """OpenNMT-tf, opennmt/utils/losses.py, `cross_entropy_loss(label_smoothing=a)`.

    On value 1 - a, off value a / (K - 1); its sum over its number of rows.
    """
    loss = 0.0
    for z, y in zip(logits, labels):
        off = a / (len(z) - 1)
        loss += soft_cross_entropy(z, [1.0 - a if c == y else off for c in range(len(z))])
    return loss / len(logits)


def fairseq(logits, labels, a, padding):
    """fairseq since 791ab7c, fairseq/criterions/label_smoothed_cross_entropy.py.

    `label_smoothed_nll_loss(epsilon=a)`, summed over the rows.
    """
    loss = 0.0
    for z, y in zip(logits, labels):
        if y == padding:
            continue
        each = a / (len(z) - 1)
        log_p = log_softmax(z)
        loss += (1.0 - a - each) * -log_p[y] + each * -sum(log_p)
    return loss


def early_fairseq(logits, labels, a, padding):
    """fairseq before 791ab7c: the same name and argument, a / K."""
    loss = 0.0
    for z, y in zip(logits, labels):
        if y == padding:
            continue
        log_p = log_softmax(z)
        loss += (1.0 - a) * -log_p[y] + a / len(z) * -sum(log_p)
    return loss


def hugging_face(logits, labels, a, ignore_index=-100):
    """transformers 5.23.0, transformers/trainer_pt_utils.py, `LabelSmoother(epsilon=a)`.

    A negative label becomes 0 before it is looked up; only `ignore_index` is masked.
    """
    k = len(logits[0])
    of_label, of_all, kept = 0.0, 0.0, 0
    for z, y in zip(logits, labels):
        log_p = log_softmax(z)
        looked_up = -log_p[max(y, 0)]  # IndexError where torch's gather fails
        if y != ignore_index:
            of_label += looked_up
            of_all -= sum(log_p)
            kept += 1
    return (1 - a) * of_label / kept + a * of_all / (kept * k)


def my_cross_entropy_loss(logits, targets, w=None):
    """`MyCrossEntropyLoss` of Tín Nguyễn's post (2021), from Kaggle: the targets come smoothed."""
    losses = []
    for z, q in zip(logits, targets):
        weighted = [lc * wc for lc, wc in zip(log_softmax(z), w or [1.0] * len(z))]
        losses.append(-sum(qc * lc for qc, lc in zip(q, weighted)))
    return mean(losses)


# --- The programs of the authors ----------------------------------------------------------------


def mbls(logits, labels, alpha, margin, ignore_index=-100):
    """by-liu/MbLS at 2c92990, calibrate/losses/logit_margin_l1.py, `LogitMarginL1`.

    Its cross entropy skips the label -100. Its penalty skips `ignore_index`, but only one of at
    least 0; it is the mean over rows and classes.
    """
    if ignore_index >= 0:
        pairs = [(z, y) for z, y in zip(logits, labels) if y != ignore_index]
        logits, labels = [z for z, _ in pairs], [y for _, y in pairs]
    terms = []
    for z in logits:
        for other in z:
            terms.append(max(0.0, max(z) - other - margin))
    return pytorch(logits, labels, 0.0) + alpha * mean(terms)


def maxsup(logits, labels, lam):
    """ZhouYuxuanYX/Maximum-Suppression-Regularization, Conv/ffcv/losses.py, `MaxSuppression`."""
    return pytorch(logits, labels, 0.0) + mean([lam * (max(z) - mean(z)) for z in logits])


def maxsup_schedules(epoch, epochs):
    """Its strength in Deit/engine.py, of 300 epochs, LT/loss/MAXsupLoss.py, Conv/ffcv/losses.py."""
    deit = 0.1 + epoch * 0.1 / (epochs - 1)
    long_tailed = 0.1 + 0.1 * epoch / max(1, epochs - 1)
    convolutional = 0.1 + (0.2 - 0.1) * epoch / epochs
    return deit, long_tailed, convolutional


def online_loss(logits, labels, rows):
    """zhangchbin/OnlineLabelSmoothing, cifar/scripts/train_cifar_all_methods.py, train().

    rows: the soft label of each class, zeros in the first epoch.
    """
    soft = [soft_cross_entropy(z, rows[y]) for z, y in zip(logits, labels)]
    return 0.5 * pytorch(logits, labels, 0.0) + 0.5 * mean(soft)


def authors_online_rows(k, batches):
    """The same program, update_loss_lams() and the end of train(): the rows after an epoch."""
    total, count = [[0.0] * k for _ in range(k)], [0] * k
    for z, y in batches:
        if z.index(max(z)) == y:
            probs = [math.exp(v) for v in log_softmax(z)]
            total[y] = [s + p for s, p in zip(total[y], probs)]
            count[y] += 1
    return [[s / n for s in row] if n else [1 / k] * k for row, n in zip(total, count)]
