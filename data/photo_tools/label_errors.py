"""Label errors: photos that a classifier, trained on the other photos, assigns to another class.

Confident learning's self-confidence (C. Northcutt, L. Jiang, I. Chuang, Confident Learning, JAIR 2021): the
out-of-fold probability of a photo's own class; the lower, the more probably its label is wrong.
"""

from photo_tools import require_package

import numpy as np

FOLDS = 5


def out_of_fold_probabilities(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The probability of each class, from a classifier that has seen neither the photo nor a copy of it.

    L2-regularized logistic regression on standardized features, with class weights.

    Args:
        features: float (n, d), from :func:`outliers.photo_features`.
        labels: int (n,), from 0, or bool; each class in at least FOLDS groups.
        groups: int (n,): copies of a photo have the same number, and are in the same fold.

    Returns:
        float64 (n, classes).

    Raises:
        TutorialError: the scikit-learn package is not installed.
    """
    require_package("sklearn", "scikit-learn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # A standardized vector's squared length is d: with C = 1/d, the penalty is the same for any number of features.
    regression = LogisticRegression(C=1 / features.shape[1], class_weight="balanced", max_iter=1000)
    classifier = make_pipeline(StandardScaler(), regression)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return cross_val_predict(classifier, features, labels, groups=groups, cv=folds, method="predict_proba")
