"""Each literal equation against a definition written another way, and worked by hand."""

import ast
from fractions import Fraction
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.spatial.distance import cdist

from minicore import equations as eq

FILES = sorted(set(Path(eq.__file__).parent.glob("*.py")) - {Path(eq.__file__)})

seeds = st.integers(0, 2**32 - 1)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def lattice(seed, *shape):
    """Rows of small integers: many ties, many duplicates."""
    return np.random.default_rng(seed).integers(0, 3, shape).astype(np.float32)


def naive_pool(v, d):
    """Segment i holds the values whose unit interval overlaps [i L / d, (i + 1) L / d]."""
    L = len(v)
    edges = [Fraction(i * L, d) for i in range(d + 1)]
    return [
        np.mean([v[k] for k in range(L) if k < end and k + 1 > start])
        for start, end in pairwise(edges)
    ]


def naive_upsampling(coarse, fine):
    """Matrix of hat functions around the coarse centres, each fine centre kept within them."""
    x = (np.arange(fine)[:, None] + 0.5) / fine * coarse - 0.5
    x = np.clip(x, 0, coarse - 1)
    return np.maximum(0, 1 - np.abs(x - np.arange(coarse)))


def naive_coreset(M, l, start):
    """Algorithm 1 on the matrix of all pairwise distances."""
    distances = cdist(M.astype(float), M.astype(float), "sqeuclidean")
    picks = [start]
    while len(picks) < l:
        to_nearest = distances[:, picks].min(axis=1)
        to_nearest[picks] = -1
        picks.append(int(to_nearest.argmax()))  # the first of the largest
    return picks


def radius(distances, picks):
    return distances[:, list(picks)].min(axis=1).max()


def naive_map(scores, height, width, sigma):
    fine = naive_upsampling(scores.shape[0], height) @ scores
    fine = fine @ naive_upsampling(scores.shape[1], width).T
    return gaussian_filter(fine, sigma) if sigma else fine


# Equation 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_equation_knows_numpy_numba_and_the_other_equations_only(path):
    known = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            known.add(node.module)
        elif isinstance(node, ast.Import):
            known |= {name.name for name in node.names}
    ours = {module for module in known if module.startswith("minicore.equations.")}
    program = {"numpy", "minicore", "pathlib", "sys"}  # it reads files
    assert known - ours == (program if path.stem == "section3" else {"numpy", "numba"})


def test_neighbourhood_of_patchsize_3_is_the_nine_positions_around():
    assert eq.neighbourhood(5, 2, 3).tolist() == [
        [4, 1], [4, 2], [4, 3],
        [5, 1], [5, 2], [5, 3],
        [6, 1], [6, 2], [6, 3],
    ]  # fmt: skip
    assert eq.neighbourhood(5, 2, 1).tolist() == [[5, 2]]


@pytest.mark.parametrize("p", range(1, 9))
def test_neighbourhood_is_every_position_at_most_half_a_patch_away(p):
    wide = [(a, b) for a in range(-20, 20) for b in range(-20, 20)]
    expected = [(a, b) for a, b in wide if max(abs(a - 1), abs(b)) <= p // 2]
    assert [tuple(ab) for ab in eq.neighbourhood(1, 0, p)] == expected


@pytest.mark.parametrize("p", [2, 4, 6])
def test_an_even_patchsize_means_the_odd_one_above_it(p):
    np.testing.assert_array_equal(eq.neighbourhood(3, 4, p), eq.neighbourhood(3, 4, p + 1))
    phi = normal(p, 3, 5, 6)
    np.testing.assert_array_equal(
        eq.patch_collection(phi, p, 1, 3), eq.patch_collection(phi, p + 1, 1, 3)
    )


# Equation 2


def test_adaptive_pooling_worked_by_hand():
    def pool(values, d):
        return eq.adaptive_average_pool(np.array(values, np.float32), d).tolist()

    assert pool([1, 2, 3, 4], 2) == [1.5, 3.5]
    assert pool([1, 2, 3, 4, 5], 2) == [2, 4]  # 1 2 3 | 3 4 5: the middle one counts twice
    assert pool([1, 2, 3, 4, 5], 3) == [1.5, 3, 4.5]  # 1 2 | 2 3 4 | 4 5
    assert pool([1, 5], 3) == [1, 3, 5]  # 1 | 1 5 | 5
    assert pool([1, 2, 6], 1) == [3]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), seeds)
def test_adaptive_pooling_averages_what_overlaps_its_segment(L, d, seed):
    v = normal(seed, L)
    np.testing.assert_allclose(
        eq.adaptive_average_pool(v, d), naive_pool(v.astype(float), d), atol=1e-12
    )


def test_zeros_beyond_the_border_are_counted():
    ones = np.ones((1, 3, 4), np.float32)
    ninths = [[4, 6, 6, 4], [6, 9, 9, 6], [4, 6, 6, 4]]
    got = eq.patch_collection(ones, 3, 1, 1)[:, :, 0]
    np.testing.assert_allclose(got, np.array(ninths) / 9, rtol=1e-12)


@pytest.mark.parametrize("p", [1, 3, 5, 7])
def test_d_equal_to_c_is_the_mean_over_the_neighbourhood(p):
    phi = normal(p, 4, 6, 5)
    expected = uniform_filter(phi.astype(float), (0, p, p), mode="constant")
    got = eq.patch_collection(phi, p, 1, 4)
    np.testing.assert_allclose(np.moveaxis(got, 2, 0), expected, atol=1e-12)


def test_two_segments_a_channel_count_the_centre_twice():
    """The authors' layer 2: 512 channels to 1024, then pairs of them averaged."""
    phi = normal(0, 2, 3, 3)
    first, second = phi[0].ravel().astype(float), phi[1].ravel().astype(float)
    got = eq.aggregate(phi, 1, 1, 3, 4)
    expected = [first[:5].mean(), first[4:].mean(), second[:5].mean(), second[4:].mean()]
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    weights = np.full(9, 0.1)
    weights[4] = 0.2
    np.testing.assert_allclose(got.reshape(2, 2).mean(1), [weights @ first, weights @ second])


# Equations 3 and 4


@pytest.mark.parametrize("s", [2, 3, 4])
def test_a_stride_keeps_the_positions_it_divides(s):
    phi = normal(s, 3, 7, 8)
    every = eq.patch_collection(phi, 3, 1, 5)
    some = eq.patch_collection(phi, 3, s, 5)
    assert some.shape == (-(-7 // s), -(-8 // s), 5)
    np.testing.assert_array_equal(some, every[::s, ::s])


def test_upsampling_worked_by_hand():
    line = np.array([0, 1], np.float32).reshape(1, 2, 1)
    assert eq.upsample(line, 1, 4).ravel().tolist() == [0, 0.25, 0.75, 1]
    assert eq.upsample(line, 2, 2)[:, :, 0].tolist() == [[0, 1], [0, 1]]


@settings(deadline=None, max_examples=40)
@given(*[st.integers(1, 9)] * 2, *[st.integers(1, 20)] * 2, seeds)
def test_upsampling_is_a_matrix_of_hat_functions_on_each_side(h, w, height, width, seed):
    grid = normal(seed, h, w, 2)
    rows, columns = naive_upsampling(h, height), naive_upsampling(w, width)
    expected = np.einsum("Hh,Ww,hwd->HWd", rows, columns, grid.astype(float))
    np.testing.assert_allclose(eq.upsample(grid, height, width), expected, atol=1e-12)


def test_patch_features_join_the_levels_on_the_first_grid_then_pool():
    fine, coarse = normal(1, 2, 3, 6, 5), normal(2, 2, 4, 3, 3)
    apart = [
        np.stack([eq.upsample(eq.patch_collection(m, 3, 1, c), 6, 5) for m in phi])
        for phi, c in ((fine, 3), (coarse, 4))
    ]
    joined = np.concatenate(apart, axis=3)
    got = eq.patch_features((fine, coarse), 3, 1)
    assert got.shape == (2, 6, 5, 7) and got.dtype == np.float32
    np.testing.assert_allclose(got, joined, rtol=1e-6, atol=1e-7)
    pooled = eq.patch_features((fine, coarse), 3, 1, None, 4)
    expected = np.apply_along_axis(naive_pool, 3, joined, 4)
    np.testing.assert_allclose(pooled, expected, rtol=1e-6, atol=1e-7)


def test_the_memory_bank_goes_image_by_image_and_row_by_row():
    patches = normal(0, 2, 3, 4, 5)
    M = eq.memory_bank(patches)
    assert M.shape == (24, 5) and M.dtype == np.float32
    np.testing.assert_array_equal(M[12 + 4 * 2 + 3], patches[1, 2, 3])
    np.testing.assert_array_equal(M, patches.reshape(-1, 5))


# Equation 5


def test_algorithm_1_worked_by_hand():
    line = np.array([[0], [1], [4], [10]], np.float32)
    assert eq.greedy_coreset(line, 4, 0).tolist() == [0, 3, 2, 1]
    assert eq.greedy_coreset(line, 3, 2).tolist() == [2, 3, 0]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 5), st.booleans(), seeds, st.data())
def test_coreset_is_algorithm_1_on_all_pairwise_distances(N, d, ties, seed, data):
    M = (lattice if ties else normal)(seed, N, d)
    l, start = data.draw(st.integers(1, N)), data.draw(st.integers(0, N - 1))
    picks = eq.greedy_coreset(M, l, start)
    assert picks[0] == start and len(set(picks)) == l
    if ties:  # integers: no rounding in either
        assert picks.tolist() == naive_coreset(M, l, start)
    else:  # summed in another order: each pick as far as the farthest
        distances = cdist(M.astype(float), M.astype(float))
        for i in range(1, l):
            left = distances[:, picks[:i]].min(1)
            left_over = np.setdiff1d(np.arange(N), picks[:i])
            assert left[picks[i]] >= left[left_over].max() * (1 - 1e-12)


def test_ties_go_to_the_lowest_row_and_no_row_is_taken_twice():
    corners = np.array([[1, 1], [0, 0], [2, 0], [0, 2], [2, 2]], np.float32)
    assert eq.greedy_coreset(corners, 5, 0).tolist() == [0, 1, 2, 3, 4]
    equal = np.ones((5, 3), np.float32)
    assert eq.greedy_coreset(equal, 5, 2).tolist() == [2, 0, 1, 3, 4]


@pytest.mark.parametrize("seed", range(20))
def test_greedy_radius_is_at_most_twice_the_best_of_equation_5(seed):
    M = (lattice if seed % 2 else normal)(seed, 9, 2)
    distances = cdist(M, M)
    for l in range(1, 6):
        best = min(radius(distances, some) for some in combinations(range(9), l))
        for start in range(9):
            assert radius(distances, eq.greedy_coreset(M, l, start)) <= 2 * best + 1e-9


@pytest.mark.parametrize(("l", "start"), [(0, 0), (5, 0), (-1, 0), (2, -1), (2, 4)])
def test_coreset_refuses_sizes_and_starts_outside_the_bank(l, start):
    with pytest.raises(ValueError, match="must be"):
        eq.greedy_coreset(np.zeros((4, 2), np.float32), l, start)


def test_the_covering_radii_are_equation_5_after_each_pick():
    M = normal(5, 30, 3)
    picks = eq.greedy_coreset(M, 30, 4)
    distances = cdist(M.astype(float), M.astype(float))
    expected = [radius(distances, picks[: i + 1]) for i in range(30)]
    np.testing.assert_allclose(eq.covering_radii(M, picks), expected, rtol=1e-12)


def test_project_is_the_matrix_product():
    M, psi = normal(6, 20, 50), eq.projection(50, 7, seed=3)
    projected = eq.project(M, psi)
    assert projected.dtype == np.float32
    np.testing.assert_allclose(projected, M.astype(float) @ psi.astype(float), rtol=1e-6, atol=1e-6)


def test_projection_keeps_distances_nearly_and_is_seeded():
    rows = normal(3, 40, 600)
    psi = eq.projection(600, 128, seed=1)
    assert psi.shape == (600, 128) and psi.dtype == np.float32
    ratio = cdist(rows @ psi, rows @ psi)[np.triu_indices(40, 1)]
    ratio /= cdist(rows, rows)[np.triu_indices(40, 1)]
    assert abs(ratio.mean() - 1) < 0.04 and ratio.min() > 0.7 and ratio.max() < 1.3
    np.testing.assert_array_equal(psi, eq.projection(600, 128, seed=1))
    assert not np.array_equal(psi, eq.projection(600, 128, seed=2))
    with pytest.raises(ValueError, match="at least 1"):
        eq.projection(0, 128)


# Equation 6


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(*[st.integers(1, 30)] * 2, st.integers(1, 5), st.booleans(), seeds, st.data())
def test_nearest_is_a_stable_sort_of_all_distances(n, N, d, ties, seed, data):
    make = lattice if ties else normal
    queries, bank = make(seed, n, d), make(seed + 1, N, d)
    k = data.draw(st.integers(1, N))
    distances, indices = eq.nearest(queries, bank, k)
    squared = ((queries[:, None].astype(float) - bank[None]) ** 2).sum(2)
    expected = np.argsort(squared, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, expected)
    at = np.take_along_axis(squared, expected, axis=1)
    np.testing.assert_allclose(distances, np.sqrt(at), rtol=1e-6)


def test_nearest_gives_euclidean_distances_and_the_lowest_of_equals():
    bank = np.array([[3, 4], [0, 1], [0, 1], [9, 9]], np.float32)
    distances, indices = eq.nearest(np.zeros((1, 2), np.float32), bank, 3)
    assert distances.tolist() == [[1, 1, 5]] and indices.tolist() == [[1, 2, 0]]
    assert distances.dtype == np.float64 and indices.dtype == np.int64


def test_the_deciding_patch_is_the_first_of_the_farthest_and_has_the_lowest_nearest_row():
    patches = np.array([[1], [3], [2], [-3]], np.float32)
    bank = np.array([[9], [0], [0]], np.float32)
    assert eq.deciding_patch(patches, bank) == (1, 1, 3.0)


@settings(deadline=None, max_examples=60)
@given(*[st.integers(1, 20)] * 2, st.integers(1, 5), st.booleans(), seeds)
def test_the_deciding_patch_is_arg_max_over_arg_min_of_all_distances(n, N, d, ties, seed):
    make = lattice if ties else normal
    patches, bank = make(seed, n, d), make(seed + 1, N, d)
    test_star, m_star, s_star = eq.deciding_patch(patches, bank)
    distances = np.sqrt(((patches[:, None].astype(float) - bank[None]) ** 2).sum(2))
    np.testing.assert_allclose(s_star, distances.min(axis=1).max(), rtol=1e-12)
    np.testing.assert_allclose(distances[test_star].min(), s_star, rtol=1e-12)
    np.testing.assert_allclose(distances[test_star, m_star], s_star, rtol=1e-12)


def test_an_image_without_patches_is_refused():
    with pytest.raises(ValueError, match="at least one patch"):
        eq.deciding_patch(normal(0, 0, 2), normal(1, 4, 2))


# Equation 7


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 12), st.floats(0, 50), seeds)
def test_reweighting_is_the_formula_where_that_does_not_overflow(b, s_star, seed):
    distances = s_star + np.r_[0, np.random.default_rng(seed).exponential(3, b - 1)]
    direct = (1 - np.exp(s_star) / np.exp(distances).sum()) * s_star
    np.testing.assert_allclose(eq.reweight(s_star, distances), direct, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 12), st.floats(0, 1e5), st.floats(0, 1e4), seeds)
def test_a_score_lies_between_1_minus_1_over_b_and_1_times_s_star(b, s_star, spread, seed):
    distances = s_star + np.r_[0, np.random.default_rng(seed).uniform(0, spread, b - 1)]
    s = eq.reweight(s_star, distances)
    assert (1 - 1 / b) * s_star * (1 - 1e-9) <= s <= s_star


@pytest.mark.parametrize("s_star", [1e3, 1e4, 1e5])
def test_no_distance_overflows(s_star):
    assert eq.reweight(s_star, np.array([s_star, s_star])) == pytest.approx(s_star / 2)
    assert eq.reweight(s_star, np.array([s_star, 2 * s_star])) == s_star
    with np.errstate(over="ignore", invalid="ignore"):
        assert not np.isfinite(np.exp(np.float64(s_star)) / np.exp(np.float64(s_star)))


def test_b_of_1_is_refused():
    with pytest.raises(ValueError, match="b >= 2"):
        eq.reweight(1.0, np.array([1.0]))
    with pytest.raises(ValueError, match="b >= 2"):
        eq.anomaly_score(normal(0, 3, 2), normal(1, 4, 2), 1)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(2, 20), st.booleans(), seeds, st.data())
def test_an_anomaly_score_is_equations_6_and_7_in_one(n, N, ties, seed, data):
    make = lattice if ties else normal
    patches, bank = make(seed, n, 4), make(seed + 1, N, 4)
    b = data.draw(st.integers(2, N))
    far = cdist(patches.astype(float), bank.astype(float))
    worst = far.min(axis=1).argmax()
    m_star = far[worst].argmin()
    around = ((bank.astype(float) - bank[m_star]) ** 2).sum(1)
    e = np.exp(far[worst])
    neighbours = np.argsort(around, kind="stable")[:b]
    expected = (1 - e[m_star] / e[neighbours].sum()) * far[worst, m_star]
    assert eq.anomaly_score(patches, bank, b) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("b", [2, 9])
@pytest.mark.parametrize("distance", [1, 1e3, 1e5, 1e8, 1e12])
def test_a_patch_as_far_from_all_b_neighbours_scores_1_minus_1_over_b_times_s_star(b, distance):
    direction = normal(0, 1, 16).astype(float)
    patch = (direction * distance / np.linalg.norm(direction)).astype(np.float32)
    s_star = np.linalg.norm(patch.astype(float))
    s = eq.anomaly_score(patch, np.zeros((b, 16), np.float32), b)
    assert s == pytest.approx((1 - 1 / b) * s_star, rel=1e-5)


# The anomaly map


@pytest.mark.parametrize(
    ("grid", "size", "sigma"),
    [
        ((7, 5), (28, 20), 4.0),
        ((4, 6), (9, 13), 1.5),
        ((5, 5), (23, 7), 4.0),  # the kernel is wider than the image
        ((6, 4), (12, 9), 0.0),
    ],
)
def test_the_map_is_bilinear_upsampling_then_scipys_gaussian(grid, size, sigma):
    scores = np.abs(normal(1, 2, *grid))
    maps = eq.anomaly_map(scores, *size, sigma)
    assert maps.shape == (2, *size) and maps.dtype == np.float32
    for got, patch_scores in zip(maps, scores.astype(float), strict=True):
        np.testing.assert_allclose(got, naive_map(patch_scores, *size, sigma), rtol=1e-5)


def test_sigma_is_4_pixels_by_default_and_a_flat_map_stays_flat():
    scores = np.abs(normal(2, 1, 3, 3))
    np.testing.assert_array_equal(
        eq.anomaly_map(scores, 12, 12), eq.anomaly_map(scores, 12, 12, 4.0)
    )
    flat = eq.anomaly_map(np.full((1, 3, 3), 2, np.float32), 12, 12)
    np.testing.assert_allclose(flat, 2, rtol=1e-6)


# Section 3


def test_section_3_composes_the_seven_equations_and_runs_on_a_folder_of_maps(tmp_path, capsys):
    from minicore.equations import section3

    rng = np.random.default_rng(0)
    for part, n in (("good", 4), ("test", 2)):
        (tmp_path / part).mkdir()
        for i in range(n):
            maps = {"layer2": rng.random((6, 8, 8)), "layer3": rng.random((9, 4, 4))}
            maps["layer2"][:, 3, 5] += 9 * (part == "test" and i == 1)  # a defect
            np.savez(tmp_path / part / f"{i}.npz", **maps)

    good = [section3.read(path) for path in sorted(tmp_path.glob("good/*.npz"))]
    levels = tuple(np.concatenate(level) for level in zip(*good, strict=True))
    M = section3.memory_bank(levels)
    np.testing.assert_array_equal(M, eq.memory_bank(eq.patch_features(levels)))
    M_C = section3.coreset(M, 25)
    assert M_C.shape == (25, 15) and {tuple(row) for row in M_C} <= {tuple(row) for row in M}
    scores, maps = zip(
        *(section3.score(section3.read(path), M_C, (64, 64)) for path in tmp_path.glob("test/*")),
        strict=True,
    )
    assert max(scores) > 3 * min(scores)
    row, column = np.unravel_index(maps[np.argmax(scores)].argmax(), (64, 64))
    assert abs(row - 8 * 3.5) <= 4 and abs(column - 8 * 5.5) <= 4

    section3.main(tmp_path)
    printed = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    assert float(printed["1.npz"]) > 3 * float(printed["0.npz"])
