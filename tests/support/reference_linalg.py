"""Factorizations and solvers as loops over counting numbers; see reference.py."""

from __future__ import annotations

import numpy as np
from support.reference import Array, apply


def cholesky(a: Array) -> Array:
    """Return the lower factor, column by column."""
    a = a.copy()
    n = len(a)
    for k in range(n):
        a[k, k] = apply("sqrt", a[k, k])
        for i in range(k + 1, n):
            a[i, k] = a[i, k] / a[k, k]
        for j in range(k + 1, n):
            for i in range(j, n):
                a[i, j] = a[i, j] - a[i, k] * a[j, k]
    return a


def lu(a: Array) -> Array:
    """Return both factors in one matrix, without pivoting."""
    a = a.copy()
    rows, columns = a.shape
    for k in range(min(rows, columns)):
        for i in range(k + 1, rows):
            a[i, k] = a[i, k] / a[k, k]
            for j in range(k + 1, columns):
                a[i, j] = a[i, j] - a[i, k] * a[k, j]
    return a


def forward(lower: Array, b: Array, *, unit: bool) -> Array:
    """Solve a lower triangular system for one right-hand side; a unit triangle has ones on its diagonal."""
    x = b.copy()
    for i in range(len(x)):
        for j in range(i):
            x[i] = x[i] - lower[i, j] * x[j]
        if not unit:
            x[i] = x[i] / lower[i, i]
    return x


def backward(upper: Array, b: Array) -> Array:
    """Solve an upper triangular system."""
    return forward(upper[::-1, ::-1], b[::-1], unit=False)[::-1]


def lu_solve(factors: Array, b: Array) -> Array:
    """Solve with both triangles in turn."""
    return backward(factors, forward(factors, b, unit=True))


def inverse(a: Array) -> Array:
    """Gauss-Jordan elimination, in place."""
    a = a.copy()
    n = len(a)
    for k in range(n):
        pivot = 1 / a[k, k]
        negative = -pivot
        for j in range(n):
            if j != k:
                a[k, j] = a[k, j] * pivot
        for i in range(n):
            if i == k:
                continue
            for j in range(n):
                if j != k:
                    a[i, j] = a[i, j] - a[i, k] * a[k, j]
            a[i, k] = a[i, k] * negative
        a[k, k] = pivot
    return a


def householder(a: Array) -> tuple[Array, list[Array]]:
    """Return R, and the vectors of the reflections."""
    a = a.copy()
    rows, columns = a.shape
    vectors = []
    for k in range(min(rows, columns)):
        v = a[k:, k].copy()
        size = apply("sqrt", np.dot(v, v))
        v[0] = v[0] + size
        v = v * (apply("sqrt", 2 / np.dot(v, v)))
        vectors.append(v)
        for j in range(k, columns):
            a[k:, j] = a[k:, j] - v * np.dot(v, a[k:, j])
    return a, vectors


def orthogonal(vectors: list[Array], identity: Array) -> Array:
    """Return the first columns of Q: the reflections applied to those of the identity, starting with the last."""
    q = identity.copy()
    for k in reversed(range(len(vectors))):
        v = vectors[k]
        for j in range(k, q.shape[1]):
            q[k:, j] = q[k:, j] - v * np.dot(v, q[k:, j])
    return q
