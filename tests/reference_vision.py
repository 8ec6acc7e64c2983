"""Slow definitions for tests/vision: SAM element by element, an image prepared pixel by pixel."""

import math


def sam_step(w, gradient, rho, lr):
    """One SAM step of plain gradient descent on a list of numbers."""
    g = gradient(w)
    norm = math.sqrt(sum(x * x for x in g))
    if norm == 0:
        return list(w)
    ascended = [x + rho * y / norm for x, y in zip(w, g)]
    return [x - lr * y for x, y in zip(w, gradient(ascended))]


def prepared(image, size, crop, mean, std, resample):
    """Shorter side to floor(size / crop), the middle cut out, each pixel standardised."""
    shorter = math.floor(size / crop)
    w, h = image.size
    scale = shorter / min(w, h)
    image = image.resize((int(w * scale), int(h * scale)), resample)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return [
        [
            [(image.getpixel((left + x, top + y))[c] / 255 - mean[c]) / std[c] for x in range(size)]
            for y in range(size)
        ]
        for c in range(3)
    ]
