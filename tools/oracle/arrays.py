"""Writes the fixtures of llm_core::math::arrays and llm_core::math::vectors with NumPy.

    python tools/oracle/arrays.py        # from the repository root

Arrays hold small whole numbers, so that results are exact in any order of summation. The gradients
of the vector functions are complex steps, imag f(x + ih) / h with h = 1e-30: exact to the last
digits, with nothing cancelled and no calculus done by hand.
"""

import json
from itertools import product
from pathlib import Path

import numpy as np

OUT = Path("crates/llm-core/tests/fixtures/math")
rng = np.random.default_rng(7)
STEP = 1e-30

# The pairs that the lesson shows come first; the rest are drawn.
SHOWN = [((2, 3), (3,)), ((2, 3), (2,)), ((2, 3), (2, 3)), ((2, 3), (2, 1)), ((3, 5, 4), (4, 2))]


def whole(shape):
    return rng.integers(-4, 5, shape).astype(float)


def listed(array):
    array = np.asarray(array, dtype=float)
    return {"shape": list(array.shape), "values": array.ravel().tolist()}


def attempt(operation, left, right):
    """The result, or null where NumPy refuses."""
    try:
        return listed(operation(left, right))
    except ValueError:
        return None


def random_shape():
    return tuple(rng.choice([1, 2, 3], rng.integers(0, 4)).tolist())


def random_shapes():
    return random_shape(), random_shape()


def random_matrices():
    """Two shapes whose matrices fit; the axes before them may or may not."""
    m, k, n = rng.integers(1, 4, 3).tolist()
    left, right = random_shape()[:2] + (m, k), random_shape()[:2] + (k, n)
    vector = rng.integers(0, 6)
    return (k,) if vector == 0 else left, (k,) if vector == 1 else right


def pairs(count):
    drawn = [draw() for draw in (random_shapes, random_matrices) for _ in range(count)]
    return [(whole(left), whole(right)) for left, right in SHOWN + drawn]


def arrays():
    cases = []
    for left, right in pairs(32):
        case = {"left": listed(left), "right": listed(right)}
        case["add"] = attempt(np.add, left, right)
        case["matmul"] = attempt(np.matmul, left, right)
        cases.append(case)
    return cases


def slopes(f, inputs, d):
    """The gradient of sum(f(*inputs) * d) with respect to each input."""
    gradients = []
    for position, value in enumerate(inputs):
        gradient = np.zeros(value.shape)
        for index in product(*map(range, value.shape)):
            moved = [x.astype(complex) for x in inputs]
            moved[position][index] += 1j * STEP
            gradient[index] = np.sum(f(*moved) * d).imag / STEP
        gradients.append(listed(gradient))
    return gradients


def softmax(x):
    e = np.exp(x - x.real.max())
    return e / e.sum()


# Products without conjugation, so that they are analytic and a complex step is a derivative.
def norm(a):
    return np.sqrt(np.sum(a * a))


def cosine(a, b):
    return np.sum(a * b) / (norm(a) * norm(b))


def projection(a, b):
    return np.sum(a * b) / np.sum(b * b) * b


def half_square(matrix, x, goal):
    y = matrix @ x
    return np.sum((y - goal) * (y - goal)) / 2


def vectors():
    def draw(*shape):
        return np.round(rng.standard_normal(shape), 3)

    functions = {
        "dot": (lambda a, b: np.sum(a * b), [draw(5), draw(5)]),
        "norm": (norm, [draw(5)]),
        "cosine": (cosine, [draw(5), draw(5)]),
        "projection": (projection, [draw(5), draw(5)]),
        "outer": (np.multiply.outer, [draw(3), draw(4)]),
        "matrix_vector": (np.matmul, [draw(3, 4), draw(4)]),
        "chain": (half_square, [draw(3, 4), draw(4), draw(3)]),
        "softmax": (softmax, [np.array([2.0, 1.0, 0.5, -1.0, 3.0])]),
        "softmax_large": (softmax, [np.array([1000.0, 1001.0])]),
    }
    cases = {}
    for name, (f, inputs) in functions.items():
        value = f(*inputs)
        d = draw(*np.shape(value)) if np.ndim(value) else np.array(1.0)
        cases[name] = {
            "inputs": [listed(x) for x in inputs],
            "value": listed(value),
            "d": listed(d),
            "slopes": slopes(f, inputs, d),
        }
    return cases


for name, fixture in [("arrays", arrays()), ("vectors", vectors())]:
    path = OUT / f"{name}.json"
    path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")
