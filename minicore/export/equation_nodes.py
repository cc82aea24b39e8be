r"""Equations 1 to 7 as nodes of an ONNX graph, one function for each equation.

Every node is named after its equation, so that a viewer of ONNX files, such as Netron, shows the
paper. All operators exist in opset 17 and in later ones. n is the number of images in a batch; h'
and w' are the patch grid.

A graph contains no differences between all patches and all rows: with 784 patches, 16,000 rows and
384 values they would take 19 GB. Equation 6 compares products, as any exact search does, and
computes the distance to the nearest row only, by differences.
"""

from __future__ import annotations

import numpy as np

from minicore.fast.patches import pooling_segments
from minicore.fast.score import upsampling_matrix
from minicore.runtime.onnx_graph import OnnxGraph

BANK = "eq5/memory_bank"  # the constant, or "eq5/memory_bank.float16"
LARGEST_PRODUCT = 2**25  # pairs of patch and row compared at once, for each image: 128 MB


def neighbourhoods(g: OnnxGraph, phi: str, name: str, channels: int, p: int, s: int) -> str:
    """Equation 1: the values around each position, channel by channel; zeros outside the map.

    (n, c, h*, w*) → (n, c k², h', w'), with k = 2⌊p/2⌋ + 1. One convolution copies them: its
    weights are 1 for one value of the neighbourhood and 0 for all others.
    """
    k = 2 * (p // 2) + 1
    copies = np.tile(np.eye(k * k, dtype=np.float32).reshape(k * k, 1, k, k), (channels, 1, 1, 1))
    W = g.constant(f"eq1/{name}/copies", copies)
    output = f"eq1/{name}/neighbourhoods"
    return g.node("Conv", [phi, W], output, group=channels, **_window(p, s))


def aggregate_mean(g: OnnxGraph, phi: str, name: str, p: int, s: int) -> str:
    """Equations 1 and 2 for embedding "concat": the mean over each neighbourhood.

    (n, c, h*, w*) → (n, c, h', w').
    """
    # zeros outside the map count, so the divisor is always k²
    return g.node("AveragePool", [phi], f"eq2/{name}/mean", count_include_pad=1, **_window(p, s))


def aggregate(g: OnnxGraph, x: str, name: str, length: int, d: int) -> str:
    """Equation 2, f_agg: the means of d segments, by adaptive average pooling.

    (n, L, h', w') → (n, d, h', w'). Segment i is the values ⌊i L / d⌋ to ⌈(i + 1) L / d⌉ − 1.
    """
    first, end = pooling_segments(length, d)
    longest = int((end - first).max())
    members = first[:, None] + np.arange(longest)
    inside = (members < end[:, None]).reshape(1, d, longest, 1, 1)
    rows = g.constant(f"{name}/members", np.minimum(members, length - 1))
    x = g.node("Gather", [x, rows], f"{name}/segments", axis=1)
    if not inside.all():
        mask = g.constant(f"{name}/inside", inside.astype(np.float32))
        x = g.node("Mul", [x, mask], f"{name}/only_inside")
    lengths = g.constant(f"{name}/lengths", (end - first).astype(np.float32).reshape(d, 1, 1))
    x = g.node("ReduceSum", [x, ints(g, f"{name}/axis", 2)], f"{name}/sums", keepdims=0)
    return g.node("Div", [x, lengths], f"{name}/means")


def upsample(
    g: OnnxGraph,
    x: str,
    name: str,
    before: tuple[int, int],
    after: tuple[int, int],
    step: tuple[float, float],
) -> str:
    """Equation 3, bilinear upsampling of a coarser level to the finest grid.

    (n, d, h_j, w_j) → (n, d, h', w'). `step` is the rows and columns of the finest grid for each
    position of this level.
    """
    rows = upsampling_matrix(before[0], after[0], t=step[0])
    columns = upsampling_matrix(before[1], after[1], t=step[1])
    if all(len(A) == A.shape[1] and np.array_equal(A, np.eye(len(A))) for A in (rows, columns)):
        return x
    return _rows_and_columns(g, x, f"eq3/{name}", rows, columns, "upsampled")


def concatenate(g: OnnxGraph, parts: list[str], name: str) -> str:
    """Equation 3: the vectors of several levels, one after the other; (n, d_j, h', w') each."""
    return parts[0] if len(parts) == 1 else g.node("Concat", parts, name, axis=1)


def whiten(g: OnnxGraph, patches: str, W: np.ndarray) -> str:
    """Multiply each patch feature by the matrix of `whiten=True`: (n, h', w', D) → (…, k)."""
    return g.node("MatMul", [patches, g.constant("eq3/whitening", W)], "eq3/whitened")


def memory_bank(g: OnnxGraph, rows: np.ndarray, half: bool) -> str:
    """Equations 4 and 5: the coreset of the memory bank, (l, D), as a constant of the graph."""
    return g.float16(BANK, rows) if half else g.constant(BANK, rows)


def nearest(g: OnnxGraph, P: str, M: str, rows: np.ndarray, patches: int) -> str:
    """Equation 6, arg min: the nearest row of the bank for each query; (q, D) → (q,) int64.

    It compares ‖m‖² − 2 x·m, which is ‖x − m‖² without ‖x‖². x and the norms are measured from the
    bank's mean: smaller numbers have smaller rounding errors. If several rows have the same value,
    the result is the first of them.

    Parameters
    ----------
    g : OnnxGraph
    P, M : str
        The queries and the bank.
    rows : (l, D) float32
        The values of the bank.
    patches : int
        Number of queries of one image.
    """
    mean, norms = centred_norms(rows)
    centre = g.constant("eq6/mean", mean)
    norms_name = g.constant("eq6/squared_norms", norms)
    tile = max(LARGEST_PRODUCT // patches, 1)
    if len(rows) > tile:
        x = g.node("Sub", [P, centre], "eq6/centred")
        return _nearest_in_tiles(g, x, M, norms_name, len(rows), tile)
    return nearest_row(g, P, M, centre, norms_name)


def centred_norms(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of a bank (l, D), (D,), and each ‖m‖² measured from it, (1, l); float32."""
    mean = rows.mean(axis=0, dtype=np.float64)
    norms = np.einsum("ld,ld->l", rows, rows, dtype=np.float64)
    norms += mean @ mean - 2 * np.einsum("ld,d->l", rows, mean, dtype=np.float64)
    return mean.astype(np.float32), norms.astype(np.float32)[None]


def nearest_row(g: OnnxGraph, P: str, M: str, mean: str, norms: str) -> str:
    """Equation 6, arg min, for a bank of any size: `nearest` without tiles; (q, D) → (q,) int64.

    `mean` and `norms` are the results of `centred_norms`.
    """
    x = g.node("Sub", [P, mean], "eq6/centred")
    values = g.node("Gemm", [x, M, norms], "eq6/values", alpha=-2.0, transB=1)
    return g.node("ArgMin", [values], "eq6/nearest", axis=1, keepdims=0)


def _nearest_in_tiles(g: OnnxGraph, x: str, M: str, norms: str, rows: int, tile: int) -> str:
    """Search `tile` rows of the bank at a time, and keep the best value and row found so far."""
    size, axis_0 = g.constant("eq6/tile", np.int64(tile)), ints(g, "eq6/axis_0", 0)
    axis_1 = ints(g, "eq6/axis_1", 1)
    t = OnnxGraph(g.onnx)  # the nodes inside the loop
    first = t.node("Mul", ["tile", size], "first")
    bounds = [
        t.node("Unsqueeze", [first, axis_0], "start"),
        t.node("Unsqueeze", [t.node("Add", [first, size], "end"), axis_0], "stop"),
    ]
    part = t.node("Slice", [M, *bounds, axis_0], "rows")
    part_norms = t.node("Slice", [norms, *bounds, axis_1], "squared_norms")
    values = t.node("Gemm", [x, part, part_norms], "values", alpha=-2.0, transB=1)
    row = t.node("ArgMin", [values], "row_in_tile", axis=1, keepdims=1)
    value = t.node("GatherElements", [values, row], "value", axis=1)
    better = t.node("Less", [value, "value_before"], "better")  # not <=: a tie keeps the first row
    row = t.node("Add", [row, first], "row")
    t.node("Where", [better, value, "value_before"], "value_after")
    t.node("Where", [better, row, "row_before"], "row_after")
    t.node("Identity", ["go_on_before"], "go_on_after")

    info, kind = g.onnx.helper.make_tensor_value_info, g.onnx.TensorProto
    kinds = {
        "go_on": (kind.BOOL, []),
        "value": (kind.FLOAT, ["q", 1]),
        "row": (kind.INT64, ["q", 1]),
    }
    body = g.onnx.helper.make_graph(
        t.nodes,
        "tile",
        [info("tile", kind.INT64, []), *(info(f"{k}_before", *v) for k, v in kinds.items())],
        [info(f"{k}_after", *v) for k, v in kinds.items()],
    )
    queries = g.node("Shape", [x], "eq6/queries", end=1)
    column = g.node("Concat", [queries, ints(g, "eq6/one", 1)], "eq6/column", axis=0)
    far, zero = g.constant("eq6/far", np.float32(np.inf)), g.constant("eq6/zero", np.int64(0))
    start = [g.node("Expand", [v, column], f"{v}_column") for v in (far, zero)]
    count = g.constant("eq6/tiles", np.int64(-(-rows // tile)))
    always = g.constant("eq6/always", np.bool_(True))
    outputs = ["eq6/nearest_values", "eq6/nearest_column"]
    g.nodes.append(
        g.onnx.helper.make_node(
            "Loop", [count, always, *start], outputs, name="eq6/loop", body=body
        )
    )
    return reshape(g, outputs[1], "eq6/nearest", -1)


def distances(g: OnnxGraph, P: str, M: str, rows: str) -> str:
    """Equation 6: the distance of each query to one row of the bank, by differences; (q,)."""
    m = g.node("Gather", [M, rows], "eq6/m", axis=0)
    return _norm(g, g.node("Sub", [P, m], "eq6/differences"), "eq6/distances", axis=1)


def deciding_patch(g: OnnxGraph, d: str, nearest: str) -> tuple[str, str, str]:
    """Equation 6, arg max: the patch with the largest distance, the first of several.

    Parameters
    ----------
    g : OnnxGraph
    d, nearest : str
        (n, h' w'): distance and nearest row of each patch.

    Returns
    -------
    test_star, m_star, s_star : str
        (n, 1): number of the patch, its nearest row of the bank, and their distance.
    """
    star = g.node("ArgMax", [d], "eq6/test_star", axis=1, keepdims=1)
    m_star = g.node("GatherElements", [nearest, star], "eq6/m_star", axis=1)
    return star, m_star, g.node("GatherElements", [d, star], "eq6/s_star", axis=1)


def patch_of_image(g: OnnxGraph, P: str, star: str, patches: int, D: int) -> str:
    """Return m_test*, (n, 1, D): one patch of each image, by its number (n, 1)."""
    of_image = reshape(g, P, "eq7/patches_of_image", -1, patches, D)
    m = g.node("GatherND", [of_image, star], "eq7/m_test_star", batch_dims=1)
    return reshape(g, m, "eq7/m_test_star_row", -1, 1, D)


def neighbours(g: OnnxGraph, m_star: str, around: np.ndarray) -> str:
    """Look up N_b(m*) in a table of the neighbours of every row; (n, 1) → (n, 1, b)."""
    table = g.constant("eq7/neighbours_of_rows", around.astype(np.int32))
    return g.node("Gather", [table, m_star], "eq7/neighbours", axis=0)


def reweight(g: OnnxGraph, m_test_star: str, s_star: str, M: str, N_b: str) -> tuple[str, str]:
    """Equation 7: one minus a softmax of the distances to N_b(m*), and the score; (n, 1) each."""
    m = g.node("Gather", [M, N_b], "eq7/m", axis=0)  # (n, 1, b, D)
    m = g.node("Squeeze", [m, ints(g, "eq7/axis_of_m_star", 1)], "eq7/m_of_image")
    d = _norm(g, g.node("Sub", [m_test_star, m], "eq7/differences"), "eq7/distances", axis=2)
    softmax = g.node("Softmax", [d], "eq7/softmax", axis=1)  # it subtracts the largest distance
    # exp ‖m_test* − m*‖₂ / Σ_{m ∈ N_b(m*)} exp ‖m_test* − m‖₂: m* is the first of its neighbours
    quotient = g.node("Gather", [softmax, ints(g, "eq7/first", 0)], "eq7/quotient", axis=1)
    weight = g.node("Sub", [g.constant("eq7/one", np.float32(1)), quotient], "eq7/weight")
    return weight, g.node("Mul", [weight, s_star], "eq7/score")


def mean_of_top(g: OnnxGraph, d: str, count: int) -> str:
    """Compute the score "top": the mean of the largest distances of each image; (n, 1).

    `d` is (n, h' w').
    """
    k, axis = ints(g, "eq6/top_count", count), ints(g, "eq6/top_axis", 1)
    g.nodes.append(
        g.onnx.helper.make_node(
            "TopK", [d, k], ["eq6/top", "eq6/top_patches"], "eq6/top_of_image", axis=1
        )
    )
    total = g.node("ReduceSum", ["eq6/top", axis], "eq6/sum_of_top", keepdims=1)
    return g.node(
        "Div", [total, g.constant("eq6/top_divisor", np.float32(count))], "eq6/mean_of_top"
    )


def anomaly_map(
    g: OnnxGraph,
    d: str,
    grid: tuple[int, int],
    size: tuple[int, int],
    sigma: float,
    s: int,
    cell: tuple[float, float],
) -> str:
    """Section 3.3: the distances, upsampled and smoothed; (n, h' w') → (n, h, w)."""
    rows, columns = (
        upsampling_matrix(grid[axis], size[axis], float(sigma), s, float(cell[axis]))
        for axis in (0, 1)
    )
    x = reshape(g, d, "map/patch_distances", -1, *grid)
    return _rows_and_columns(g, x, "map", rows, columns, "smoothed")


def reshape(g: OnnxGraph, x: str, output: str, *shape: int) -> str:
    """Add a change of shape; -1 stands for the number of images or queries."""
    return g.node("Reshape", [x, ints(g, f"{output}.shape", *shape)], output)


def ints(g: OnnxGraph, name: str, *values: int) -> str:
    """Add a constant of integers: axes, or a shape."""
    return g.constant(name, np.array(values, np.int64))


def _window(p: int, s: int) -> dict[str, list[int]]:
    """Return the attributes of a node that visits the neighbourhood of every s-th position."""
    k = 2 * (p // 2) + 1
    return {"kernel_shape": [k, k], "pads": [k // 2] * 4, "strides": [s, s]}


def _rows_and_columns(
    g: OnnxGraph, x: str, name: str, rows: np.ndarray, columns: np.ndarray, output: str
) -> str:
    """Add a product with one matrix on the left and one on the right."""
    A = g.constant(f"{name}/rows", rows.astype(np.float32))
    B = g.constant(f"{name}/columns", columns.T.astype(np.float32))
    return both_sides(g, A, x, B, f"{name}/{output}")


def both_sides(g: OnnxGraph, A: str, x: str, B: str, output: str) -> str:
    """Add the product A x B."""
    return g.node("MatMul", [A, g.node("MatMul", [x, B], f"{output}.wide")], output)


def _norm(g: OnnxGraph, differences: str, output: str, axis: int) -> str:
    """Add the Euclidean norm along one axis."""
    squares = g.node("Mul", [differences, differences], f"{output}.squares")
    along = ints(g, f"{output}.axis", axis)
    total = g.node("ReduceSum", [squares, along], f"{output}.sum", keepdims=0)
    return g.node("Sqrt", [total], output)
