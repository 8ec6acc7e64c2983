"""Slow definitions of what the recipes' data sets do to images, and of small networks' parts."""

import math

import numpy as np


def crop_and_flip(image, top, left, mirrored, pad=4):
    """One image (c, h, w): padded with zeros, cut out at (top, left), mirrored."""
    c, h, w = image.shape
    out = np.zeros_like(image)
    for k in range(c):
        for i in range(h):
            for j in range(w):
                row, column = i + top - pad, j + left - pad
                if 0 <= row < h and 0 <= column < w:
                    out[k, i, w - 1 - j if mirrored else j] = image[k, row, column]
    return out


def edge_sketch(image):
    """One image (3, h, w) of 0..255 as a drawing (h, w)."""
    _, h, w = image.shape
    grey = [
        [(0.299 * image[0][i][j] + 0.587 * image[1][i][j] + 0.114 * image[2][i][j]) / 255
         for j in range(w)]
        for i in range(h)
    ]  # fmt: skip

    def at(i, j):
        return grey[min(max(i, 0), h - 1)][min(max(j, 0), w - 1)]

    steep = np.zeros((h, w))
    for i in range(h):
        for j in range(w):
            across = sum(m * (at(i + d, j + 1) - at(i + d, j - 1)) for d, m in SMOOTH)
            down = sum(m * (at(i + 1, j + d) - at(i - 1, j + d)) for d, m in SMOOTH)
            steep[i, j] = math.hypot(across, down)
    mean, spread = steep.mean(), steep.std()
    if spread <= 1e-6:
        return np.full((h, w), 255.0)
    scale = max(spread, 1e-3) / 4
    line = 1 / (1 + np.exp(-(steep - mean - spread / 2) / scale))
    return 255 * (1 - line)


SMOOTH = ((-1, 1), (0, 2), (1, 1))  # Sobel's weights across the direction of the difference


def option_a(x, channels):
    """The shortcut (c, h, w) -> (channels, h / 2, w / 2) of one image, without parameters."""
    c, h, w = x.shape
    out = np.zeros((channels, (h + 1) // 2, (w + 1) // 2), x.dtype)
    for k in range(c):
        for i in range(0, h, 2):
            for j in range(0, w, 2):
                out[(channels - c) // 2 + k, i // 2, j // 2] = x[k, i, j]
    return out


def lstm_state(tokens, embedding, w_x, w_h, b):
    """The state (hidden,) behind the last token that is not padding (0), step by step."""
    hidden = w_h.shape[1]
    h = c = np.zeros(hidden)
    for token in [t for t in tokens if t != 0]:
        gates = w_x @ embedding[token] + w_h @ h + b
        i, f, g, o = np.split(gates, 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
    return h


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))
