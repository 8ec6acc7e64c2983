"""`SelectiveClassifier`: a scikit-learn classifier that abstains, with a guarantee.

n = examples, K = classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import base_class, check_delta, check_fraction, check_groups
from recuse.errors import InputError
from recuse.io import HeldOut
from recuse.present.numbers import listed
from recuse.present.run import Verdict, rows_of_folds, rows_used, verdict_lines
from recuse.rejector import CLASS, Choice, choose
from recuse.rejector._classes import by_index, of_every_class
from recuse.rejector._costs import ABSTAIN, costs_of
from recuse.rejector._fit import Options, guaranteeing
from recuse.scores import from_binary, from_probs, predict
from recuse.selectors._guarantee import ACCEPTED, OUT_OF_FOLD

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int, Shaped
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

BaseEstimator, ClassifierMixin, MetaEstimatorMixin = (
    base_class("sklearn.base", name, "train")
    for name in ("BaseEstimator", "ClassifierMixin", "MetaEstimatorMixin")
)
ALIKE = {"i": "iu", "u": "iu", "f": "iuf", "U": "U"}  # kinds of an abstain label, by classes
METHODS = ("predict_proba", "decision_function")
POOLED, EXACT = CV_GUARANTEES = ("pooled", "exact")
GOALS = ("target_risk", "coverage", "costs", "misses")
TARGET = 0.05  # where there is no goal
SIZE = 0.4  # of the rows that are set aside to calibrate, by default


class InfeasibleWarning(UserWarning):
    """No threshold has the guarantee, so everything is abstained on; the message says why."""


class Given(NamedTuple):
    """What `fit` got, checked, and the seed of all that is random."""

    X: Any
    y: Shaped[Array, " n"]
    groups: Int[Array, " n"] | None
    params: Mapping[str, Any]
    seed: int


class Parts(NamedTuple):
    """Disjoint rows: to fit the estimator, to choose the score, to choose the threshold.

    Where no rows are tuned on, `recuse.fit` says which of the last choose what.
    """

    fit: Int[Array, " f"]
    tune: Int[Array, " t"]
    calibrate: Int[Array, " c"]


def _has(name: str) -> Any:
    """For `available_if`: whether the estimator has this method."""
    return lambda self: hasattr(getattr(self, "estimator_", self.estimator), name)


def _delegated(name: str) -> Any:
    """A method of the estimator, where it has one."""

    def method(self: Any, X: Any) -> Float[Array, "n ..."]:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        response = getattr(self.estimator_, name)(X)
        self._check_order(name, X, response)
        return response

    method.__name__ = name
    method.__doc__ = f"`{name}` of the estimator; it refuses permuted columns of a frame."
    try:
        from sklearn.utils.metaestimators import available_if
    except ImportError:  # the class says so when it is made
        return method
    return available_if(_has(name))(method)


class SelectiveClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A classifier that abstains where it is likely wrong, with a guaranteed error of the rest.

    `fit` sets rows aside, fits the estimator to the others, and chooses the confidence score and
    the threshold on those that it set aside, as `recuse.fit` does with one file: below 10,000 rows
    all of them choose the threshold. The guarantee: with probability 1 - `delta` over the rows
    that chose it, at most `target_risk` of the accepted predictions are wrong, on rows from the
    same population. The rows set aside are therefore a plain random draw of rows or whole `groups`.

    With `cv` no rows are set aside. "pooled": the estimator is fitted to all rows, and estimators
    of folds predict the rows that they have not seen, which choose score and threshold. These rows
    depend on each other and stand for those of another estimator, so that the guarantee is
    assumed, not proved; `docs/how-to/deploy.md` shows how often it fails. "exact": the estimator
    of each fold is calibrated on its own fold at `delta` / folds, so that all guarantees hold at
    once, and the one that accepts most rows of its fold is deployed.

    The class is that of the largest probability or decision value: `predict` of an estimator that
    moves its threshold, as `TunedThresholdClassifierCV` does, may differ.

    In place of `target_risk`, one of `coverage` and `costs` may be guaranteed, as in `recuse.fit`.
    Under `costs` the class is the cheapest one.

    Where no threshold has the guarantee, an `InfeasibleWarning` says why and what would be
    feasible, `feasible_` is False, and nothing is accepted.

    `score` is that of every classifier, the accuracy of `predict` on all rows: without an
    `abstain_label` also of those it would abstain on, and with one each abstention counts as an
    error. `selective_scores` gives the coverage, and the error of what is accepted.

    Wrap a whole pipeline, `SelectiveClassifier(make_pipeline(...))`: then the rows that are set aside
    fit none of its steps. As the last step of a pipeline it calibrates on rows that the steps before
    it have seen, and the pipeline lacks `predict_accept`.

    Args:
        estimator: Any classifier with `predict_proba` or `decision_function`, or a pipeline that
            ends in one.
        target_risk: The largest error rate of accepted predictions, in (0, 1), or class -> rate, for
            each predicted class. None: 0.05 where no other goal is given.
        coverage: Instead: the smallest fraction of predictions to accept, in (0, 1).
        costs: Instead: label -> answer -> cost, with the answer "abstain", in the labels of `y`;
            or an array (K, K + 1), rows and columns in the order of `classes_`, abstaining last.
        subgroups: "class" guarantees `target_risk` for each predicted class, all of them at once.
        delta: The probability that the guarantee fails, in (0, 0.5).
        among: "accepted", or "all": at most `target_risk` of all predictions are accepted and
            wrong, as in `recuse.fit`.
        misses: Alone or beside `target_risk`, class -> largest share of its rows that are answered
            with another class, as in `recuse.fit`. Abstentions are not misses.
        response_method: "predict_proba", "decision_function", or "auto": the first of them that
            there is. Probabilities are ranked by their maximum. Decision values are logits, on
            which the repairs of `recuse.tune` are tried too.
        objective: The measure that a repair is to improve, as in `recuse.fit`.
        learned: Whether to try the learned score, as in `recuse.fit`.
        tune_size: Fraction of the rows, or of the groups, to choose the score on, each class in
            proportion. None: by the rule of `recuse.fit`, of the rows that are set aside.
        calibrate_size: Fraction to set aside, 0.4 by default; with a `tune_size`, to choose the
            threshold on. A risk of 5 % needs 75 to 110 accepted rows if none of them is wrong (59
            with a `tune_size`), and several hundred if some are.
        cv: In place of the two sizes, a number of folds or a splitter of scikit-learn that puts
            each row, and each group, into one fold. The folds of "exact" must not depend on y. For one
            `target_risk` for all rows, with or without `misses`.
        cv_guarantee: With `cv`, "pooled" (default) or "exact".
        prefit: The estimator is fitted already, on other rows, and all rows that `fit` gets are
            used as if set aside; with a `tune_size`, in the proportion of the two sizes. Wrap it
            in `sklearn.frozen.FrozenEstimator`, which implies this, where it will be cloned.
        abstain_label: What `predict` returns in place of a class where it abstains: -1 for
            integers, "abstain" for strings. None: always a class, `predict_accept` tells the rest.
        random_state: Random seed of the parts, or of the folds.

    Attributes:
        rejector_: The `recuse.Rejector`, which can be saved; None if infeasible.
        selection_: The threshold with its guarantee, or why there is none.
        feasible_: Whether there is a rejector.
        cut_: The `recuse.rejector.Cut` of the rows that were set aside; None with a `tune_size`.
        score_: The `recuse.scores.Score` that `score_samples` returns.
        estimator_: Fitted.
        classes_: Classes of the estimator.
        response_method_: The method in use.
        n_features_in_: Number of features of the estimator; `feature_names_in_` likewise.

    Raises:
        InputError: Malformed input, two goals, a fraction out of range, an abstain label that is
            a class or of another kind than the classes, or a parameter that would have no effect.

    References:
        El-Yaniv & Wiener, JMLR 2010; `recuse.fit`.

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = load_digits(return_X_y=True)
    >>> careful = SelectiveClassifier(LogisticRegression(max_iter=2000), target_risk=0.03)
    >>> careful = careful.fit(X[:1400], y[:1400])
    >>> label, accept = careful.predict_accept(X[1400:])
    >>> bool(careful.feasible_), bool((label != y[1400:])[accept].mean() < (label != y[1400:]).mean())
    (True, True)
    """  # noqa: E501

    def __init__(
        self,
        estimator: Any,
        *,
        target_risk: float | Mapping[Any, float] | None = None,
        coverage: float | None = None,
        costs: Any = None,
        subgroups: str | None = None,
        delta: float = 0.05,
        among: str = ACCEPTED,
        misses: Mapping[Any, float] | None = None,
        response_method: str = "auto",
        objective: str = "aurc",
        learned: bool = True,
        tune_size: float | None = None,
        calibrate_size: float | None = None,
        cv: Any = None,
        cv_guarantee: str | None = None,
        prefit: bool = False,
        abstain_label: Any = None,
        random_state: Any = 0,
    ):
        self.estimator = estimator
        self.target_risk = target_risk
        self.coverage = coverage
        self.costs = costs
        self.subgroups = subgroups
        self.delta = delta
        self.among = among
        self.misses = misses
        self.response_method = response_method
        self.objective = objective
        self.learned = learned
        self.tune_size = tune_size
        self.calibrate_size = calibrate_size
        self.cv = cv
        self.cv_guarantee = cv_guarantee
        self.prefit = prefit
        self.abstain_label = abstain_label
        self.random_state = random_state

    def fit(
        self, X: Any, y: ArrayLike, *, groups: ArrayLike | None = None, **params: Any
    ) -> SelectiveClassifier:
        """Fit the estimator, and choose the score and the threshold.

        Args:
            X: Shape (n, ...), as the estimator takes it.
            y: Shape (n,), classes.
            groups: Shape (n,): rows of one group (of a patient, of a film) are not independent.
                A group stays in one part, and of each calibrated group one random row counts.
            params: For `fit` of the estimator, such as `sample_weight`; what has n entries is cut
                to its rows. The guarantee counts each row once, whatever its weight.
        """
        from sklearn.utils import check_random_state

        X, y, groups = _checked(X, y, groups)
        self._check_arguments(y)
        self._columns = _columns_of(X)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        given = Given(X, y, groups, params, seed)
        self._check_parameters()
        if self.cv is None:
            choice = self._aside(given)
        else:
            choice = (self._best_fold if self.cv_guarantee == EXACT else self._pooled)(given)
        self.score_, self.selection_ = choice.tuned.score, choice.selection
        self.rejector_, self.cut_ = choice.rejector, choice.cut
        self.feasible_, self._reason = choice.rejector is not None, choice.tuned.reason
        if not self.feasible_:
            warnings.warn(choice.selection.reason, InfeasibleWarning, stacklevel=2)
        return self

    def predict(self, X: Any) -> Shaped[Array, " n"]:
        """The class of each row, or `abstain_label` where it is given and abstains."""
        label, accept = self.predict_accept(X)
        return label if self.abstain_label is None else np.where(accept, label, self.abstain_label)

    def predict_accept(self, X: Any) -> tuple[Shaped[Array, " n"], Bool[Array, " n"]]:
        """The class of each row, and whether to accept it."""
        logits = self._logits(X)
        if self.rejector_ is None:
            return self.classes_[predict(logits)], np.zeros(len(logits), bool)
        found = self.rejector_._decide(HeldOut(logits, kind=self.rejector_.kind), None)
        return self.classes_[found.prediction], found.accept

    def score_samples(self, X: Any) -> Float32[Array, " n"]:
        """The confidence of each row, in the unit of `score_`; larger is more certain."""
        return self.score_(self._logits(X))

    def summary(self) -> str:
        """The verdict in lines, as of `recuse run`: rows, score, guarantee and how to deploy it.

        There is no test part: errors on other rows are for the user to count.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        deploy = 'predict_accept(X), or rejector_.save("rejector.json")'
        target = self._goals()["target_risk"]
        target = None if isinstance(target, Mapping) else target
        facts = (len(self.classes_), self._reason, self.selection_, target)
        return "\n".join(verdict_lines(Verdict(*facts, cut=self._used, deploy=deploy)))

    predict_proba = _delegated("predict_proba")
    predict_log_proba = _delegated("predict_log_proba")
    decision_function = _delegated("decision_function")

    def get_metadata_routing(self) -> Any:
        """`groups` is for this class, the rest for `fit` of the estimator, where it asks for it."""
        from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

        router = MetadataRouter(owner=self).add_self_request(self)
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return router.add(estimator=self.estimator, method_mapping=mapping)

    def __sklearn_tags__(self):
        from sklearn.utils import get_tags

        tags = super().__sklearn_tags__()
        of = get_tags(self.estimator)
        tags.input_tags = of.input_tags
        if of.classifier_tags is not None:
            tags.classifier_tags = replace(of.classifier_tags, multi_label=False)
        return tags

    def _aside(self, given: Given) -> Choice:
        """Fit to one part; what is set aside chooses score and threshold."""
        parts = self._parts(given.y, given.groups, given.seed)
        self._adopt(self._fitted(given, parts.fit))
        files = [
            self._file(given, rows, self._seen(given, rows)) for rows in parts[1:] if rows.size
        ]
        choice = self._choose(files, given.seed)
        self._used = rows_used(*map(len, parts), choice.cut)
        return choice

    def _pooled(self, given: Given) -> Choice:
        """Fit to all rows; what estimators of folds say of the others chooses the threshold."""
        everything = np.arange(len(given.y))
        self._adopt(self._fitted(given, everything))
        folds = folds_of(self.cv, given, stratified=True)
        logits = np.empty((everything.size, self.classes_.size))
        for train, held in folds:
            logits[held] = self._seen(given, held, self._fitted(given, train))
        choice = self._choose([self._file(given, everything, logits)], given.seed)
        self._used = rows_of_folds(everything.size, len(folds), choice.cut)
        return guaranteeing(choice, lambda g: replace(g, assumptions=(*g.assumptions, OUT_OF_FOLD)))

    def _best_fold(self, given: Given) -> Choice:
        """Fit to the others of each fold, which calibrates at its share of delta; keep the best."""
        folds, found = folds_of(self.cv, given, stratified=False), []
        for train, held in folds:
            self._adopt(self._fitted(given, train))
            file = self._file(given, held, self._seen(given, held))
            found.append(
                (self._choose([file], given.seed, len(folds)), self.estimator_, train, held)
            )
        choice, estimator, train, held = max(found, key=lambda x: x[0].selection.guarantee.accepted)
        self._adopt(estimator)
        self._used = rows_used(len(train), 0, len(held), choice.cut)
        return guaranteeing(choice, lambda g: replace(g, simultaneous=len(folds)))

    def _check_parameters(self) -> None:
        """Refuse what would have no effect."""
        if self.cv_guarantee not in (None, *CV_GUARANTEES):
            raise InputError(
                f"expected `cv_guarantee` among {', '.join(CV_GUARANTEES)}, got "
                f"{self.cv_guarantee!r}"
            )
        cv, prefit = self.cv is not None, self._is_prefit()
        if cv and prefit:
            raise InputError("expected no `cv` for a fitted estimator: all its rows calibrate")
        alone = prefit and self.tune_size is None
        for name, useless, where in (
            ("tune_size", cv, "with `cv`"),
            ("calibrate_size", cv, "with `cv`"),
            ("calibrate_size", alone, "for a fitted estimator without `tune_size`"),
            ("cv_guarantee", not cv, "without `cv`"),
            ("coverage", cv, "with `cv`"),
            ("costs", cv, "with `cv`"),
            ("subgroups", cv, "with `cv`"),
        ):
            if useless and (value := getattr(self, name)) is not None:
                raise InputError(f"expected no `{name}` {where}, got {value!r}")
        if cv and not isinstance(target := self._goals()["target_risk"], Real):
            raise InputError(f"expected one `target_risk` for all rows with `cv`, got {target!r}")

    def _adopt(self, estimator: Any) -> None:
        """Take over an estimator and what it says of itself."""
        self.estimator_ = estimator
        self.classes_ = np.asarray(estimator.classes_)
        methods = METHODS if self.response_method == "auto" else (self.response_method,)
        self.response_method_ = response_of(estimator, methods)
        if self._columns and all(isinstance(name, str) for name in self._columns):
            self.feature_names_in_ = np.array(self._columns, object)  # also where it ignores them
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(estimator, name):
                setattr(self, name, getattr(estimator, name))

    def _parts(self, y: Array, groups: Array | None, seed: int) -> Parts:
        """Disjoint rows for the three steps; none to fit where the estimator is."""
        size = SIZE if self.calibrate_size is None else self.calibrate_size
        calibrate = check_fraction(size, "calibrate_size")
        if self.tune_size is None:
            return split(y, groups, 0.0, 1.0 if self._is_prefit() else calibrate, seed)
        tune = check_fraction(self.tune_size, "tune_size")
        if self._is_prefit():
            return split(y, groups, 1.0, calibrate / (tune + calibrate), seed)
        if tune + calibrate >= 1:
            raise InputError(
                f"expected `tune_size` + `calibrate_size` < 1, got {tune:g} + {calibrate:g}"
            )
        return split(y, groups, tune / (1 - calibrate), calibrate, seed)

    def _is_prefit(self) -> bool:
        return self.prefit or type(self.estimator).__name__ == "FrozenEstimator"

    def _fitted(self, given: Given, rows: Array) -> Any:
        from sklearn import clone
        from sklearn.utils import _safe_indexing
        from sklearn.utils.validation import check_is_fitted

        if self._is_prefit():
            check_is_fitted(self.estimator)
            if given.params:
                raise InputError(f"expected no {sorted(given.params)[0]} for a fitted estimator")
            return self.estimator
        params = _cut(self._routed(given.params), len(given.y), rows)
        X = _safe_indexing(given.X, rows)
        return clone(self.estimator).fit(X, given.y[rows], **params)

    def _routed(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the parameters of the estimator: all, or with routing those that it requested."""
        from sklearn import get_config
        from sklearn.utils.metadata_routing import process_routing

        if not (params and get_config()["enable_metadata_routing"]):
            return params
        return process_routing(self, "fit", **params).estimator.fit

    def _check_arguments(self, y: Array) -> None:
        """Refuse what would be refused after the estimator has been fitted."""
        if self.subgroups is not None and not self._by_class():
            raise InputError(
                f"expected `subgroups` None or {CLASS!r}, each predicted class, got "
                f"{self.subgroups!r}"
            )
        known = getattr(self.estimator, "classes_", None) if self._is_prefit() else None
        classes = np.unique(y) if known is None else np.asarray(known)
        names = ("subgroups", "delta", "among", "objective")
        options: Any = self._goals() | {name: getattr(self, name) for name in names}
        Options(**options).goal  # noqa: B018
        self._goals_of(classes)
        if self.response_method != "auto":
            response_of(self.estimator, (self.response_method,))
        if self.abstain_label is not None:
            self._check_abstain_label(classes)

    def _check_abstain_label(self, classes: Array) -> None:
        kind = classes.dtype.kind
        alike = kind == "O" or np.asarray(self.abstain_label).dtype.kind in ALIKE.get(kind, "")
        if np.ndim(self.abstain_label) or not alike or self.abstain_label in classes.tolist():
            raise InputError(
                "expected an `abstain_label` of the kind of the classes and not among them, "
                f"got {self.abstain_label!r} for {classes.tolist()}"
            )

    def _seen(self, given: Given, rows: Array, estimator: Any = None) -> Float[Array, "m K"]:
        """Logits of some rows, of this estimator or of another of the same classes."""
        from sklearn.utils import _safe_indexing

        estimator = self.estimator_ if estimator is None else estimator
        if not np.array_equal(estimator.classes_, self.classes_):
            raise InputError(
                f"expected folds whose other rows have all {len(self.classes_)} classes, got one "
                f"with {len(estimator.classes_)}"
            )
        return logits_of(estimator, self.response_method_, _safe_indexing(given.X, rows))

    def _file(self, given: Given, rows: Array, logits: Array) -> HeldOut:
        """Logits and labels of some rows; the ids say that no row is in two parts."""
        labels = _labels(given.y[rows], self.classes_, predict(logits))
        kind = "probs" if self.response_method_ == "predict_proba" else "logits"
        of = None if given.groups is None else given.groups[rows]
        names = tuple(map(str, self.classes_.tolist()))
        names = names if len({*names}) == len(names) else None
        return HeldOut(logits, labels, of, rows, kind=kind, class_names=names)

    def _choose(self, files: Sequence[HeldOut], seed: int, together: int = 1) -> Choice:
        """The score and the threshold, of one file or of two, as one of several guarantees."""
        return choose(
            *files,
            **self._goals_of(self.classes_),
            subgroups=self.subgroups,
            delta=check_delta(self.delta) / together,
            among=self.among,
            objective=self.objective,
            learned=self.learned,
            seed=seed,
        )

    def _by_class(self) -> bool:
        return isinstance(self.subgroups, str) and self.subgroups == CLASS

    def _goals(self) -> dict[str, Any]:
        """Return the goals as given; of none a target risk."""
        goals = {name: getattr(self, name) for name in GOALS}
        none = all(goal is None for goal in goals.values())
        return goals | {"target_risk": TARGET} if none else goals

    def _goals_of(self, classes: Array) -> dict[str, Any]:
        """Return the goals by the indices of the classes, checked."""
        goals, names = self._goals(), tuple(map(str, classes.tolist()))
        for name, check in (("target_risk", of_every_class), ("misses", by_index)):
            if isinstance(goals[name], Mapping):
                places = _by_place(goals[name], classes, name)
                goals[name] = check(places, len(classes), names, name)
        if goals["costs"] is not None:
            goals["costs"] = costs_of(_cells(goals["costs"], classes), len(classes), None)
        return goals

    def _logits(self, X: Any) -> Float[Array, "n K"]:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return logits_of(self, self.response_method_, X)

    def _check_order(self, method: str, X: Any, response: Array) -> None:
        """Refuse permuted columns where they change the response: many estimators do not look."""
        from sklearn.utils import _safe_indexing

        names, given = self._columns, _columns_of(X)
        if names is None or given is None or names == given or set(names) != set(given):
            return
        in_order = getattr(self.estimator_, method)(_safe_indexing(X, names, axis=1))
        if not np.array_equal(response, in_order):
            i = next(i for i, name in enumerate(names) if name != given[i])
            raise InputError(
                f"expected the columns of `X` in the order of `fit`, got {given[i]!r} in the place "
                f"of {names[i]!r}"
            )


def split(y: Array, groups: Array | None, tune: float, calibrate: float, seed: int) -> Parts:
    """A random share to calibrate on; of the rest a share to tune on, each class in proportion.

    Whole groups where there are groups, and then classes as they come. The calibration rows are
    never stratified: the guarantee is about rows as they come, too.

    Args:
        y: Shape (n,).
        groups: Shape (n,), codes 0, 1, ...; None if rows are independent.
        tune: Share of the rows (or groups) that are not calibrated on; 1 leaves none to fit.
        calibrate: Share of all; 1 leaves none for anything else.
        seed: Random seed of the draw.
    """
    code = np.arange(len(y)) if groups is None else groups
    units = int(code.max()) + 1
    others = 0 if calibrate == 1 else 1 + (0 < tune < 1)
    if units <= others:
        raise InputError(f"expected at least {others + 1} rows or groups, got n_samples = {units}")
    place = np.random.default_rng(seed).permutation(units)
    part = np.full(units, 2)
    rest = np.flatnonzero(place >= np.clip(round(calibrate * units), 1, units - others))
    kind = np.unique(y, return_inverse=True)[1] if groups is None else np.zeros(units)
    order = rest[np.lexsort((place[rest], _rank_within(kind[rest], place[rest])))]
    cut = np.clip(round(tune * rest.size), tune > 0, max(rest.size - (tune < 1), 0))
    part[order[:cut]], part[order[cut:]] = 1, 0
    return Parts(*(np.flatnonzero(part[code] == p) for p in range(3)))


def folds_of(cv: Any, given: Given, *, stratified: bool) -> list[tuple[Array, Array]]:
    """Rows to fit and rows to hold out of each fold; every row is held out once.

    Args:
        cv: A number of folds, drawn with the seed; or a splitter, or the folds themselves.
        given: Rows; those of one group stay together.
        stratified: Whether a number of folds holds each class in proportion.

    Raises:
        InputError: Fewer than two folds or more than rows or groups, a row that is held out never
            or twice, or a group in several folds.
    """
    from sklearn import model_selection as of

    y, groups = given.y, given.groups
    code = np.arange(len(y)) if groups is None else groups
    units = int(code.max()) + 1
    if isinstance(cv, Integral) and not 2 <= cv <= units:
        raise InputError(f"expected `cv` of 2 to {units} folds, got {cv!r}")
    if not isinstance(cv, Integral):
        folds = list(of.check_cv(cv).split(given.X, y, groups))
    elif stratified:
        kind = of.StratifiedKFold if groups is None else of.StratifiedGroupKFold
        folds = list(kind(cv, shuffle=True, random_state=given.seed).split(code, y, groups))
    else:
        cuts = of.KFold(cv, shuffle=True, random_state=given.seed).split(range(units))
        folds = [(np.isin(code, a).nonzero()[0], np.isin(code, b).nonzero()[0]) for a, b in cuts]
    times = np.zeros(len(y), int)
    for train, held in folds:
        times[held] += 1
        if np.isin(code[held], code[train]).any():
            raise InputError("expected `cv` with each row and group in one fold, got one in two")
    if (times != 1).any():
        raise InputError("expected `cv` that holds out each row once, as KFold does")
    return folds


def _rank_within(kind: Array, place: Array) -> Float[Array, " u"]:
    """The rank of each by place within its kind, as a fraction of them."""
    order = np.lexsort((place, kind))
    _, start, count = np.unique(kind[order], return_index=True, return_counts=True)
    out = np.empty(kind.size)
    out[order] = (np.arange(kind.size) - np.repeat(start, count) + 0.5) / np.repeat(count, count)
    return out


def _checked(X: Any, y: Any, groups: Any) -> tuple[Any, Array, Array | None]:
    """X to take rows from, classes (n,), and codes of groups."""
    from sklearn.utils import check_array, column_or_1d, indexable
    from sklearn.utils.multiclass import check_classification_targets

    if y is None:
        raise InputError("requires y to be passed, but the target y is None")
    X, y = indexable(X, y)
    y = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"), warn=True)
    check_classification_targets(y)
    return X, y, None if groups is None else check_groups(groups, len(y))


def _columns_of(X: Any) -> list[Any] | None:
    """Return the names of the columns of a frame; None of what has none."""
    names = getattr(X, "columns", None)
    return None if names is None else list(names)


def _cut(params: Mapping[str, Any], n: int, rows: Array) -> dict[str, Any]:
    """Return the parameters; those with an entry for each row are cut to these rows."""
    from sklearn.utils import _safe_indexing

    def aligned(value: Any) -> bool:
        return hasattr(value, "__len__") and not isinstance(value, (str, dict)) and len(value) == n

    return {k: _safe_indexing(v, rows) if aligned(v) else v for k, v in params.items()}


def _labels(y: Array, classes: Array, predicted: Array) -> Int[Array, " n"]:
    """Indices of classes; of a class that the estimator never saw, one that it did not predict."""
    known = np.isin(y, classes)
    if not known.any():
        raise InputError(f"expected labels among {classes.tolist()}, got {y[:3].tolist()}")
    order = np.argsort(classes, kind="stable")
    index = order[np.searchsorted(classes[order], y).clip(max=classes.size - 1)]
    return np.where(known, index, (predicted + 1) % classes.size)


def _by_place(given: Mapping[Any, Any], classes: Array, what: str) -> dict[int, Any]:
    """Return what is given for classes by their indices."""
    place = {name: k for k, name in enumerate(classes.tolist())}
    if unknown := [name for name in given if name not in place]:
        raise InputError(f"expected `{what}` of classes {[*place]}, got {unknown[0]!r}")
    return {place[name]: value for name, value in given.items()}


def _cells(costs: Any, classes: Array) -> Any:
    """Return costs by label and answer as rows in the order of the classes, abstaining last."""
    if not isinstance(costs, Mapping):
        return costs
    labels = classes.tolist()
    answers = [*labels, ABSTAIN]
    if ABSTAIN in labels:
        raise InputError(f"expected `costs` as an array, since a class is called {ABSTAIN!r}")
    _check_keys(costs, labels, "a row for each label")
    for label, row in costs.items():
        _check_keys(row, answers, f"of label {label!r} each answer")
    return [[costs[label][answer] for answer in answers] for label in labels]


def _check_keys(given: Any, wanted: Sequence[Any], what: str) -> None:
    """Require a mapping of these keys, in any order."""
    if not isinstance(given, Mapping) or set(given) != set(wanted):
        got = listed(map(repr, given)) if isinstance(given, Mapping) else repr(given)
        raise InputError(f"expected `costs` with {what} ({listed(map(repr, wanted))}), got {got}")


def response_of(estimator: Any, methods: Sequence[str]) -> str:
    """Return the first of these methods that the classifier has."""
    method = next((m for m in methods if hasattr(estimator, m)), None)
    if method is None:
        raise InputError(
            f"expected a classifier with {' or '.join(methods)}, got {type(estimator).__name__}"
        )
    return method


def logits_of(estimator: Any, method: str, X: Any) -> Float[Array, "n K"]:
    """Return the response as logits: log probabilities, or decision values unchanged.

    One column of decision values becomes two classes by `scores.from_binary`.

    Raises:
        InputError: There is not one column for each class.
    """
    if method == "decision_function":
        _refuse_one_vs_one(estimator)
    response = getattr(estimator, method)(X)
    if method == "predict_proba":
        logits = from_probs(response)
    else:
        logits = from_binary(response) if np.ndim(response) == 1 else np.asarray(response)
    if logits.ndim != 2 or logits.shape[1] != len(estimator.classes_):
        raise InputError(
            f"expected one column for each of {len(estimator.classes_)} classes, got {logits.shape}"
        )
    return logits


def _refuse_one_vs_one(estimator: Any) -> None:
    """Refuse columns of pairs of classes, of which three classes have three too."""
    params = estimator.get_params() if hasattr(estimator, "get_params") else {}
    for name, value in params.items():
        shape = name.endswith("decision_function_shape")
        if shape and value == "ovo" and len(estimator.classes_) > 2:
            raise InputError(f"expected decision values of classes, got those of pairs: {name}=ovo")
